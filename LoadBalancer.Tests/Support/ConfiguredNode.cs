using LoadBalancer.Broker;
using LoadBalancer.Composition;
using LoadBalancer.Configuration;
using LoadBalancer.Listeners;
using LoadBalancer.Pools;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace LoadBalancer.Tests.Support;

/// <summary>A whole node in this process, made out of a configuration file that may change while it runs.</summary>
internal sealed class ConfiguredNode : IAsyncDisposable
{
    private readonly string _file;
    private readonly Node _host;

    private ConfiguredNode(string file, Node host)
    {
        (_file, _host) = (file, host);
        Port = new Uri((host.Listeners.FirstOrDefault(listener => listener is not BrokerListener) ?? host.Listeners[0]).Address).Port;
        Client = NewClient($"http://127.0.0.1:{Port}");
        Management = host.Management is { } management ? NewClient(management.Address) : null!;
    }

    /// <summary>Where the first listener is that is no broker, if there is one.</summary>
    public int Port { get; }

    /// <summary>Asks the first listener.</summary>
    public HttpClient Client { get; }

    /// <summary>All listeners.</summary>
    public IReadOnlyList<IListener> Listeners => _host.Listeners;

    /// <summary>The first listener.</summary>
    public IListener Listener => _host.Listeners[0];

    /// <summary>Asks the management listener.</summary>
    public HttpClient Management { get; }

    /// <summary>What it has logged as warning or worse.</summary>
    public LogRecorder Log { get; private init; } = null!;

    public BackendPool Pool => FindPool("web")!;

    public ConfigurationReloader Reloader => _host.Reloader!;

    /// <summary>Starts a node.</summary>
    /// <param name="pools">The value of <c>Pools</c>.</param>
    /// <param name="listener">Further settings of the listener, each with a comma behind it.</param>
    /// <param name="management">The value of <c>Management</c>.</param>
    /// <param name="time">The node's clock.</param>
    public static Task<ConfiguredNode> StartAsync(
        string pools, string listener = "", string management = """{ "Address": "http://127.0.0.1:0" }""", TimeProvider? time = null) =>
        StartRawAsync(Json(pools, listener, management), time);

    /// <summary>Starts a node of which the text is the whole configuration.</summary>
    /// <param name="text">The configuration.</param>
    /// <param name="time">The node's clock.</param>
    /// <param name="file">Its file, where other files are beside it.</param>
    /// <param name="start">How its process was started.</param>
    public static async Task<ConfiguredNode> StartRawAsync(
        string text, TimeProvider? time = null, string? file = null, NodeStart? start = null)
    {
        file ??= Path.GetTempFileName();
        await File.WriteAllTextAsync(file, text);
        var loaded = ConfigurationLoader.Load(file);
        loaded.Errors.Should().BeEmpty();
        var host = Node.Build(loaded, time ?? TimeProvider.System, start);
        var log = new LogRecorder();
        host.Services.GetRequiredService<ILoggerFactory>().AddProvider(log);
        await host.StartAsync();
        return new ConfiguredNode(file, host) { Log = log };
    }

    public BackendPool? FindPool(string name) => _host.Pools.Find(name);

    /// <summary>Replaces the configuration.</summary>
    public Task WriteAsync(string pools, string listener = "", string management = """{ "Address": "http://127.0.0.1:0" }""") =>
        WriteRawAsync(Json(pools, listener, management));

    /// <summary>Replaces the file's text, at once as an editor does.</summary>
    public async Task WriteRawAsync(string text)
    {
        await File.WriteAllTextAsync(_file + ".new", text);
        File.Move(_file + ".new", _file, overwrite: true);
    }

    /// <summary>Applies a configuration without a file, which is sooner than the file is looked at.</summary>
    public async Task ApplyAsync(string text)
    {
        var file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, text);
        var loaded = ConfigurationLoader.Load(file);
        File.Delete(file);
        loaded.Errors.Should().BeEmpty();
        await _host.ApplyAsync(loaded.Options);
    }

    /// <summary>Waits until a changed file has been applied or refused.</summary>
    public async Task ReloadedAsync(Func<Task> change)
    {
        var before = Reloader.Applied + Reloader.Refused;
        await change();
        await Eventually.BeTrueAsync(() => Reloader.Applied + Reloader.Refused > before, "the change is noticed");
    }

    /// <summary>Stops the node in order, as SIGTERM does; the result is there when it has stopped.</summary>
    public Task StopAsync()
    {
        _host.Services.GetRequiredService<Microsoft.Extensions.Hosting.IHostApplicationLifetime>().StopApplication();
        return _host.StopAsync();
    }

    public async ValueTask DisposeAsync()
    {
        Client.Dispose();
        Management?.Dispose();
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await _host.StopAsync(now.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _host.Dispose();
        File.Delete(_file);
    }

    private static HttpClient NewClient(string address) => new(TestNode.NewHandler()) { BaseAddress = new Uri(address) };

    private static string Json(string pools, string listener, string management) => $$"""
        { "LoadBalancer": {
            "Listeners": { "web": { {{listener}} "Address": "http://127.0.0.1:0", "Pool": "web" } },
            "Pools": {{pools}},
            "Management": {{management}} } }
        """;
}
