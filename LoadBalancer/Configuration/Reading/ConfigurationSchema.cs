using System.Collections;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Reflection;
using System.Text.Json.Nodes;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Pools;

namespace LoadBalancer.Configuration.Reading;

/// <summary>
/// The JSON schema (draft 7) of the configuration file, made from the options themselves, so that it cannot differ from them: keys, types,
/// enumerations, defaults, and what is required. It is for editors. It is a little stricter than the program, which takes keys and names
/// in any letter case, and numbers as texts; ranges, and what must fit each other, only the program checks.
/// </summary>
internal sealed class ConfigurationSchema
{
    private const string DurationPattern = @"[0-9]+(\.[0-9]+)?(ms|s|m|h)|([0-9]+\.)?[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]{1,7})?";

    private readonly JsonObject _definitions = [];
    private readonly NullabilityInfoContext _nullability = new();
    private readonly DocumentationFile _documentation = new();

    private ConfigurationSchema()
    {
    }

    /// <summary>Makes the schema.</summary>
    public static JsonObject Create()
    {
        var schema = new ConfigurationSchema();
        return new JsonObject
        {
            ["$schema"] = "http://json-schema.org/draft-07/schema#",
            ["title"] = "Configuration of the load balancer",
            ["type"] = "object",
            ["properties"] = new JsonObject
            {
                ["$schema"] = new JsonObject { ["type"] = "string", ["description"] = "Where this schema is; for editors." },
                [LoadBalancerOptions.SectionName] = schema.Reference(typeof(LoadBalancerOptions)),
            },
            ["required"] = new JsonArray(LoadBalancerOptions.SectionName),
            ["additionalProperties"] = false,
            ["definitions"] = schema._definitions,
        };
    }

    private JsonObject Reference(Type type)
    {
        if (!_definitions.ContainsKey(type.Name))
        {
            _definitions[type.Name] = null; // Its place, in the order of the file.
            _definitions[type.Name] = type == typeof(ListenerOptions) ? Listener() : Record(type);
        }
        return new JsonObject { ["$ref"] = $"#/definitions/{type.Name}" };
    }

    // The key Protocol says which type a listener's options are of; without it that is the first.
    private JsonObject Listener() => new()
    {
        ["type"] = "object",
        ["properties"] = new JsonObject { [nameof(ListenerOptions.Protocol)] = Names(Enum.GetNames<ListenerProtocol>()) },
        ["allOf"] = new JsonArray([.. Enum.GetValues<ListenerProtocol>().Select(protocol => new JsonObject
        {
            ["if"] = new JsonObject
            {
                ["properties"] = new JsonObject
                {
                    [nameof(ListenerOptions.Protocol)] = new JsonObject
                    {
                        ["enum"] = protocol == default ? new JsonArray($"{protocol}", null) : new JsonArray($"{protocol}"),
                    },
                },
                ["required"] = protocol == default ? new JsonArray() : new JsonArray(nameof(ListenerOptions.Protocol)),
            },
            ["then"] = Reference(OptionsBinder.TypeOf(protocol)),
        })]),
    };

    [UnconditionalSuppressMessage("Trimming", "IL2067", Justification = "the program's own assembly is kept whole")]
    private JsonObject Record(Type type)
    {
        var defaults = Activator.CreateInstance(type)!;
        var (properties, required) = (new JsonObject(), new JsonArray());
        foreach (var property in OptionsBinder.SettingsOf(type))
        {
            var value = property.GetValue(defaults);
            var isRequired = value is null && _nullability.Create(property).WriteState == NullabilityState.NotNull;
            var schema = Value(property.PropertyType);
            if (isRequired)
            {
                required.Add((JsonNode)property.Name);
            }
            else
            {
                AllowNull(ref schema);
            }
            if (_documentation.Find(property) is { } description)
            {
                schema["description"] = description;
            }
            if (Default(value) is { } text)
            {
                schema["default"] = text;
            }
            properties[property.Name] = schema;
        }
        var record = new JsonObject { ["type"] = "object", ["properties"] = properties, ["additionalProperties"] = false };
        if (required.Count > 0)
        {
            record["required"] = required;
        }
        return record;
    }

    private JsonObject Value(Type type)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (type.IsGenericType && type.GetGenericTypeDefinition() == typeof(IReadOnlyDictionary<,>))
        {
            var entry = Value(type.GetGenericArguments()[1]);
            if (type.GetGenericArguments()[1] == typeof(string))
            {
                AllowNull(ref entry);
            }
            return new JsonObject { ["type"] = "object", ["additionalProperties"] = entry };
        }
        if (type.IsGenericType && type.GetGenericTypeDefinition() == typeof(IReadOnlyList<>))
        {
            var item = type.GetGenericArguments()[0];
            // A text stands for a list of one; None stands for an empty list of networks.
            var list = new JsonObject
            {
                ["type"] = item == typeof(string) || item == typeof(IPNetwork) ? new JsonArray("array", "string") : "array",
                ["items"] = Value(item),
            };
            if (item == typeof(IPNetwork))
            {
                list["pattern"] = "^[Nn]one$";
            }
            return list;
        }
        return type == typeof(CompressionOptions) ? new JsonObject { ["anyOf"] = new JsonArray(Reference(type), Names(["None"])) }
            : type.Namespace == typeof(LoadBalancerOptions).Namespace && type.IsClass ? Reference(type)
            : Scalar(type);
    }

    private static JsonObject Scalar(Type type) => type switch
    {
        _ when type == typeof(bool) => new() { ["type"] = "boolean" },
        _ when type == typeof(int) || type == typeof(long) => new() { ["type"] = "integer" },
        _ when type == typeof(double) => new() { ["type"] = "number" },
        _ when type == typeof(TimeSpan) => new() { ["type"] = "string", ["pattern"] = $"^({DurationPattern})$" },
        _ when type == typeof(HedgeAfter) => new() { ["type"] = "string", ["pattern"] = $@"^([pP][0-9]+(\.[0-9]+)?|{DurationPattern})$" },
        _ when type == typeof(InFlightLimit) => new()
        {
            ["type"] = new JsonArray("integer", "string"),
            ["pattern"] = "^([Aa]uto|[Nn]one)$",
        },
        _ when type == typeof(Version) => Names(["1.1", "2"]),
        _ when type == typeof(HttpVersions) => Names(["1.1", "2", "1.1+2"]),
        _ when type.IsEnum => Names(Enum.GetNames(type)),
        _ => new() { ["type"] = "string" },
    };

    private static JsonObject Names(string[] names) => new() { ["enum"] = new JsonArray([.. names.Select(name => (JsonNode)name)]) };

    // null is the same as leaving a key out.
    private static void AllowNull(ref JsonObject schema)
    {
        switch (schema)
        {
            case { } when schema["enum"] is JsonArray names:
                names.Add(null);
                break;
            case { } when schema["type"] is JsonArray types:
                types.Add((JsonNode)"null");
                break;
            case { } when schema["type"] is JsonValue type:
                schema["type"] = new JsonArray(type.DeepClone(), "null");
                break;
            default:
                schema = new JsonObject { ["anyOf"] = new JsonArray(schema, new JsonObject { ["type"] = "null" }) };
                break;
        }
    }

    private static JsonNode? Default(object? value) => value switch
    {
        bool b => b,
        int i => i,
        long l => l,
        double d => d,
        TimeSpan or string or Enum or HttpVersions => value.ToString(),
        Version version => version.Minor == 0 ? $"{version.Major}" : version.ToString(),
        HedgeAfter { Delay: null } after => $"p{after.Percentile}",
        IList { Count: > 0 } and IReadOnlyList<string> list => new JsonArray([.. list.Select(item => (JsonNode)item)]),
        _ => null,
    };
}
