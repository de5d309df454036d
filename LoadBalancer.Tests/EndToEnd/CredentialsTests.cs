using System.Reflection;
using LoadBalancer.Configuration;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.EndToEnd;

/// <summary>A password in an address, wherever a user may write one, is shown nowhere.</summary>
internal sealed class CredentialsTests
{
    private const string Secret = "s3cr3t";

    // Every setting that is a text of some kind. File names are no addresses.
    private static IEnumerable<string> Settings() =>
        SettingsOf(typeof(LoadBalancerOptions), "").Where(path => !path.EndsWith("File", StringComparison.Ordinal)).Distinct();

    [TestCaseSource(nameof(Settings))]
    public void Load_PasswordInAnySetting_IsNotShown(string setting)
    {
        foreach (var value in new[] { $"http://user:{Secret}@127.0.0.1:1", $"amqp://{Secret}@127.0.0.1", $"x://u:{Secret} '@/?#@h" })
        {
            foreach (var protocol in Enum.GetNames<ListenerProtocol>())
            {
                var loaded = ConfigurationLoader.Load(
                    null, $"--LoadBalancer:Listeners:x:Protocol={protocol}", $"--LoadBalancer:{setting}={value}");

                loaded.Errors.Concat(loaded.Warnings).Select(error => error.ToString()).Should()
                    .NotContain(line => line.Contains(Secret, StringComparison.Ordinal));
                $"{loaded.Options}{loaded.Options.Management}".Should().NotContain(Secret);
            }
        }
    }

    [TestCase("check", "--LoadBalancer:Pools:web:Backends:backend1:Address=http://user:s3cr3t@127.0.0.1:1")]
    [TestCase("--LoadBalancer:Pools:web:Backends:backend1:Address=http://user:s3cr3t@127.0.0.1:1")]
    [TestCase("check", "--LoadBalancer:Pools:web:Backends:backend1:Address", "http://user:s3cr3t@127.0.0.1:1")]
    [TestCase("check", "http://user:s3cr3t@127.0.0.1:1")]
    [Category("Program")]
    public async Task Program_PasswordInItsArguments_IsNotShown(params string[] args)
    {
        var (exitCode, output, errors) = await ProgramUnderTest.RunAsync("LoadBalancer", args);

        exitCode.Should().Be(1);
        errors.Should().Contain("http://***@127.0.0.1:1");
        (output + errors).Should().NotContain(Secret);
    }

    [Test]
    public async Task Node_PasswordInItsQueueAReloadAndTheApi_IsNotShown()
    {
        await using var server = new RawServer((_, _) => Task.CompletedTask); // no RabbitMQ
        var text = $$"""
            { "LoadBalancer": {
                "Listeners": {
                  "web": { "Address": "http://127.0.0.1:0", "Pool": "web" },
                  "tasks": { "Protocol": "Tasks", "Address": "tcp://127.0.0.1:0", "WorkerAddress": "tcp://127.0.0.1:0", "Pool": "tasks",
                    "Queue": { "Engine": "RabbitMq", "Uri": "amqp://{{Secret}}:{{Secret}}@127.0.0.1:{{server.Port}}" } } },
                "Pools": { "web": { "Backends": { "b1": { "Address": "{{server.Address}}" } } }, "tasks": { } },
                "Management": { "Address": "http://127.0.0.1:0" } } }
            """;
        await using var node = await ConfiguredNode.StartRawAsync(text);
        await node.Log.SaysAsync("is out of reach");

        await node.ReloadedAsync(() => node.WriteRawAsync(text.Replace("http://127.0.0.1:0", $"http://u:{Secret}@127.0.0.1:0")));
        using var body = new StringContent($$"""{"address":"http://u:{{Secret}}\u0040127.0.0.1:1"}""");
        using var put = await node.Management.PutAsync("/api/pools/web/backends/b2", body);
        var shown = new List<string> { await put.Content.ReadAsStringAsync() };
        foreach (var path in new[] { "/health", "/status", "/api/pools", "/metrics", "/errors/stats", "/" })
        {
            using var answer = await node.Management.GetAsync(path);
            shown.Add(await answer.Content.ReadAsStringAsync());
        }
        using var events = await node.Management.GetAsync("/api/events", HttpCompletionOption.ResponseHeadersRead);
        using var reader = new StreamReader(await events.Content.ReadAsStreamAsync());
        shown.AddRange([await reader.ReadLineAsync() ?? "", await reader.ReadLineAsync() ?? ""]);

        shown[0].Should().StartWith("address \"http://***@127.0.0.1:1\" is not valid;");
        node.Log.Lines.Should().Contain(line => line.Contains("'http://***@127.0.0.1:0' is not a valid address", StringComparison.Ordinal));
        shown.Concat(node.Log.Lines).Should().NotContain(line => line.Contains(Secret, StringComparison.Ordinal));
    }

    private static IEnumerable<string> SettingsOf(Type type, string path)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (type == typeof(ListenerOptions))
        {
            Type[] listeners =
                [typeof(HttpListenerOptions), typeof(TcpListenerOptions), typeof(TasksListenerOptions), typeof(BrokerListenerOptions)];
            return listeners.SelectMany(listener => SettingsOf(listener, path));
        }
        if (type.IsGenericType && type.GetGenericArguments() is [.., var item])
        {
            return SettingsOf(item, $"{path}:{(type.GetGenericTypeDefinition() == typeof(IReadOnlyList<>) ? "0" : "x")}");
        }
        return type.Namespace == typeof(LoadBalancerOptions).Namespace && type.IsClass
            ? type.GetProperties(BindingFlags.Public | BindingFlags.Instance)
                .SelectMany(property => SettingsOf(property.PropertyType, $"{path}:{property.Name}".TrimStart(':')))
            : [path];
    }
}
