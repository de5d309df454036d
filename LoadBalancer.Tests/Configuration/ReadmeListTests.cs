using System.Collections;
using System.Reflection;
using System.Text.Json;
using LoadBalancer.Configuration;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Configuration.Reading;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Configuration;

/// <summary>Holds the README's list of settings against the options: nothing is missing, and the values are the defaults.</summary>
internal sealed class ReadmeListTests
{
    // In the list as in the shipped file; the type of probes depends on the pool.
    private static readonly string[] OtherThanDefault = ["StatusEndpoints", "AccessLog", "HealthCheck:Type"];

    private static readonly string List = ReadList("README.md");

    // Routes and guards have pages of their own.
    private static readonly string Lists = List + ReadList("docs/routes.md") + ReadList("docs/guards.md");

    [Test]
    public void List_EachSetting_IsThere()
    {
        var types = Enum.GetValues<ListenerProtocol>().Select(OptionsBinder.TypeOf)
            .Concat(typeof(LoadBalancerOptions).Assembly.GetTypes().Where(type =>
                type.Namespace == typeof(LoadBalancerOptions).Namespace && type is { IsClass: true, IsAbstract: false, IsPublic: true }))
            .Distinct();

        types.SelectMany(type => OptionsBinder.SettingsOf(type).Select(setting => (Type: type.Name, setting.Name)))
            .Where(setting => !Lists.Contains($"\"{setting.Name}\"", StringComparison.Ordinal)).Should().BeEmpty();
    }

    [Test]
    public void List_Values_AreTheDefaults()
    {
        using var document = JsonDocument.Parse(List, new() { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true });
        var differences = new List<string>();

        Compare(document.RootElement.GetProperty(LoadBalancerOptions.SectionName), typeof(LoadBalancerOptions), "", differences);

        differences.Where(path => !OtherThanDefault.Any(other => path.EndsWith(":" + other, StringComparison.Ordinal))).Should().BeEmpty();
    }

    [Test]
    public void List_AsAFile_IsReadWithoutUnknownKeys()
    {
        using var directory = new TemporaryDirectory();
        File.WriteAllText(directory.File("list.json"), List);

        ConfigurationLoader.Load(directory.File("list.json")).Errors.Should().OnlyContain(error =>
            error.Message.Contains("is not defined; expected one of", StringComparison.Ordinal), "it has one pool for four listeners");
    }

    private static void Compare(JsonElement section, Type type, string path, List<string> differences)
    {
        var defaults = Activator.CreateInstance(type)!;
        foreach (var setting in section.EnumerateObject())
        {
            var property = OptionsBinder.SettingsOf(type).Single(property => property.Name == setting.Name);
            CompareValue(setting.Value, property, property.GetValue(defaults), $"{path}:{setting.Name}", differences);
        }
    }

    private static void CompareValue(
        JsonElement value, PropertyInfo property, object? expected, string path, List<string> differences)
    {
        var type = Nullable.GetUnderlyingType(property.PropertyType) ?? property.PropertyType;
        var isRequired = expected is null && new NullabilityInfoContext().Create(property).WriteState == NullabilityState.NotNull;
        switch (value.ValueKind)
        {
            case JsonValueKind.Object when type.IsGenericType:
                foreach (var entry in value.EnumerateObject())
                {
                    var entryType = type.GetGenericArguments()[1];
                    var protocol = entry.Value.TryGetProperty("Protocol", out var named) ? named.GetString()! : "Http";
                    Compare(entry.Value, entryType == typeof(ListenerOptions)
                        ? OptionsBinder.TypeOf(Enum.Parse<ListenerProtocol>(protocol)) : entryType, $"{path}:{entry.Name}", differences);
                }
                break;
            case JsonValueKind.Object:
                Compare(value, type, path, differences);
                break;
            case var _ when isRequired || property.Name == "Protocol":
                break;
            case JsonValueKind.Array when expected is IList list && list.Count == value.GetArrayLength():
                break;
            case JsonValueKind.String when expected is IList { Count: 1 } only && Equals(only[0], value.GetString()):
                break;
            case JsonValueKind.Null when expected is null:
                break;
            case JsonValueKind.Array or JsonValueKind.Null:
            case var _ when !Equals(SettingText.Read(value.ToString(), type, out _), expected):
                differences.Add(path);
                break;
        }
    }

    private static string ReadList(string page)
    {
        const string Begin = "```jsonc\n";
        var readme = File.ReadAllText(Path.Combine(Repository.Root, page)).ReplaceLineEndings("\n");
        var list = readme[(readme.IndexOf(Begin, StringComparison.Ordinal) + Begin.Length)..];
        return list[..list.IndexOf("```", StringComparison.Ordinal)];
    }
}
