using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Configuration.Reading;

namespace LoadBalancer.Management;

/// <summary>What operators can change of a pool while it runs.</summary>
/// <param name="Policy">How a backend is chosen.</param>
/// <param name="HashKey">What the policy Hash hashes.</param>
/// <param name="QueueLimit">How many requests may wait.</param>
/// <param name="QueueTimeout">How long one may wait.</param>
internal sealed record PoolSettings(PolicyName Policy, string? HashKey, int QueueLimit, TimeSpan QueueTimeout)
{
    private const string Expected =
        "expected for example {\"policy\":\"LeastConnections\"}; policy, hashKey and queue can be changed";

    /// <summary>Those of a pool.</summary>
    public static PoolSettings Of(PoolOptions options) =>
        new(options.Policy, options.HashKey, options.Queue.Limit, options.Queue.Timeout);

    /// <summary>Other options with these settings.</summary>
    public PoolOptions In(PoolOptions options) => this == Of(options) ? options : options with
    {
        Policy = Policy,
        HashKey = HashKey,
        Queue = options.Queue with { Limit = QueueLimit, Timeout = QueueTimeout },
    };

    /// <summary>These settings after a change of the file: a setting that the file has changed is as the file says.</summary>
    /// <param name="before">What the file said until now.</param>
    /// <param name="now">What it says now.</param>
    public PoolSettings After(PoolSettings before, PoolSettings now) => new(
        now.Policy == before.Policy ? Policy : now.Policy,
        now.HashKey == before.HashKey ? HashKey : now.HashKey,
        now.QueueLimit == before.QueueLimit ? QueueLimit : now.QueueLimit,
        now.QueueTimeout == before.QueueTimeout ? QueueTimeout : now.QueueTimeout);

    /// <summary>As the API shows them.</summary>
    public JsonObject ToJson() => new()
    {
        ["policy"] = $"{Policy}",
        ["hashKey"] = HashKey,
        ["queue"] = new JsonObject { ["limit"] = QueueLimit, ["timeout"] = Text(QueueTimeout) },
    };

    /// <summary>What the file needs to have them, in its own words; empty where it has them.</summary>
    public JsonObject DifferenceTo(PoolSettings file)
    {
        var (json, queue) = (new JsonObject(), new JsonObject());
        if (Policy != file.Policy)
        {
            json[nameof(PoolOptions.Policy)] = $"{Policy}";
        }
        if (HashKey != file.HashKey)
        {
            json[nameof(PoolOptions.HashKey)] = HashKey;
        }
        if (QueueLimit != file.QueueLimit)
        {
            queue[nameof(QueueOptions.Limit)] = QueueLimit;
        }
        if (QueueTimeout != file.QueueTimeout)
        {
            queue[nameof(QueueOptions.Timeout)] = Text(QueueTimeout);
        }
        if (queue.Count > 0)
        {
            json[nameof(PoolOptions.Queue)] = queue;
        }
        return json;
    }

    /// <summary>These settings with a change.</summary>
    /// <returns>The settings; or null, and what is wrong with the change.</returns>
    public (PoolSettings? Settings, string Error) With(JsonElement change)
    {
        var (next, count) = (this, 0);
        foreach (var property in change.EnumerateObject())
        {
            if (property is { Name: "queue", Value.ValueKind: JsonValueKind.Object })
            {
                foreach (var inner in property.Value.EnumerateObject())
                {
                    if (next.TryWith($"queue.{inner.Name}", inner.Value, out var error) is not { } changed)
                    {
                        return (null, error);
                    }
                    (next, count) = (changed, count + 1);
                }
            }
            else if (next.TryWith(property.Name, property.Value, out var error) is { } changed)
            {
                (next, count) = (changed, count + 1);
            }
            else
            {
                return (null, error);
            }
        }
        return count == 0 ? (null, $"there is nothing to change; {Expected}") : (next, "");
    }

    /// <summary>Reads what <see cref="ToJson"/> has written; null where that is something else.</summary>
    public static PoolSettings? Read(JsonObject? json)
    {
        if (json is null)
        {
            return null;
        }
        using var document = JsonDocument.Parse(Diagnostics.JsonText.Bytes(json));
        return new PoolSettings(default, null, 0, default).With(document.RootElement).Settings;
    }

    /// <inheritdoc/>
    public override string ToString() =>
        $"Policy {Policy}, {(HashKey is null ? "" : $"HashKey {HashKey}, ")}Queue of {QueueLimit} for {Text(QueueTimeout)}";

    private PoolSettings? TryWith(string name, JsonElement value, out string error)
    {
        error = "";
        switch (name)
        {
            case "policy" when Parse<PolicyName>(value, ref error) is { } policy:
                return this with { Policy = policy };
            case "hashKey" when value.ValueKind is JsonValueKind.String or JsonValueKind.Null:
                return this with { HashKey = value.GetString() };
            case "queue.limit" when value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var limit):
                return this with { QueueLimit = limit };
            case "queue.timeout" when Parse<TimeSpan>(value, ref error) is { } timeout:
                return this with { QueueTimeout = timeout };
            case "policy" or "hashKey" or "queue" or "queue.limit" or "queue.timeout":
                var text = value.GetRawText();
                text = text.Length <= 100 ? text : text[..100] + "…";
                error = error.Length > 0 ? $"{name} {error}" : $"{name} {text} is not valid; {Expected}";
                return null;
            default:
                error = $"'{name}' cannot be changed; {Expected}";
                return null;
        }
    }

    private static T? Parse<T>(JsonElement value, ref string error) where T : struct =>
        value.ValueKind == JsonValueKind.String ? (T?)SettingText.Read(value.GetString()!, typeof(T), out error) : null;

    private static string Text(TimeSpan time) => time.ToString("c", CultureInfo.InvariantCulture);
}
