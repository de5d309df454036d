using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Cluster;

/// <summary>
/// The keys and values of what operators share: <c>admin/POOL/BACKEND</c> has admin state and weight, <c>backends/POOL/BACKEND</c> what the
/// API added or deleted. Names are percent-encoded (RFC 3986), values are JSON.
/// </summary>
internal static class SharedText
{
    private const string AdminFolder = "admin";
    private const string AddedFolder = "backends";

    /// <summary>The key of a part of a backend, below that of the cluster.</summary>
    public static string Key(BackendKey key, SharedPart part) =>
        $"{(part == SharedPart.Admin ? AdminFolder : AddedFolder)}/{Uri.EscapeDataString(key.Pool)}/{Uri.EscapeDataString(key.Backend)}";

    /// <summary>Which part of which backend a key has, below that of the cluster.</summary>
    /// <returns>False if it is none of these keys.</returns>
    public static bool TryReadKey(string text, out BackendKey key, out SharedPart part)
    {
        (key, part) = (default, SharedPart.Admin);
        if (text.Split('/') is not [AdminFolder or AddedFolder, { Length: > 0 } pool, { Length: > 0 } backend])
        {
            return false;
        }
        part = text.StartsWith(AdminFolder, StringComparison.Ordinal) ? SharedPart.Admin : SharedPart.Added;
        key = BackendKey.Of(Uri.UnescapeDataString(pool), Uri.UnescapeDataString(backend));
        return Key(key, part) == text; // Each has one way to be written.
    }

    /// <summary>The value of a key.</summary>
    public static string Value(SharedBackend backend, SharedPart part) => JsonText.Of(Json(backend, part));

    /// <summary>The value of a key.</summary>
    public static JsonObject Json(SharedBackend backend, SharedPart part)
    {
        var json = new JsonObject();
        if (part == SharedPart.Added)
        {
            Add(json, "added", backend.Added, added => added is null ? null : new JsonObject
            {
                ["name"] = added.Name,
                ["address"] = $"{added.Address}",
                ["weight"] = added.Weight,
                ["adminState"] = $"{added.AdminState}",
            });
            return json;
        }
        Add(json, "adminState", backend.AdminState, state => state is null ? null : JsonValue.Create($"{state}"));
        Add(json, "weight", backend.Weight, weight => weight is null ? null : JsonValue.Create(weight.Value));
        return json;
    }

    /// <summary>Reads the value of a key.</summary>
    /// <returns>False if it is not one.</returns>
    public static bool TryRead(string text, SharedPart part, [NotNullWhen(true)] out SharedBackend? backend)
    {
        backend = null;
        try
        {
            backend = JsonNode.Parse(text) is JsonObject json ? Read(json, part) : null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException or OverflowException
            or KeyNotFoundException or ArgumentException)
        {
            // Another program has written it.
        }
        return backend is not null && backend != SharedBackend.None;
    }

    /// <summary>Reads the value of a key.</summary>
    /// <exception cref="FormatException">It is not one. Others for JSON are possible too.</exception>
    public static SharedBackend Read(JsonObject json, SharedPart part) => part == SharedPart.Added
        ? SharedBackend.None with { Added = Setting(json, "added", value => value is JsonObject added ? Added(added) : null) }
        : SharedBackend.None with
        {
            AdminState = Setting(json, "adminState", value => value is null ? (AdminState?)null : StateOf(value)),
            Weight = Setting(json, "weight", value => value is null ? (int?)null : WeightOf(value)),
        };

    /// <summary>A time as it stands in values.</summary>
    public static string Time(DateTimeOffset time) => time.UtcDateTime.ToString("O", CultureInfo.InvariantCulture);

    /// <summary>Reads a time.</summary>
    /// <exception cref="FormatException">It is none.</exception>
    public static DateTimeOffset ReadTime(string text) =>
        DateTimeOffset.ParseExact(text, "O", CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal);

    private static void Add<T>(JsonObject json, string name, Setting<T>? setting, Func<T, JsonNode?> value)
    {
        if (setting is not null)
        {
            json[name] = new JsonObject
            {
                ["value"] = value(setting.Value),
                ["time"] = Time(setting.Time),
                ["node"] = setting.Node,
            };
        }
    }

    private static Setting<T>? Setting<T>(JsonObject json, string name, Func<JsonNode?, T> read) =>
        json[name] is not { } setting ? null : new Setting<T>(
            read(setting["value"]), ReadTime(setting["time"]?.GetValue<string>() ?? ""), setting["node"]?.GetValue<string>() ?? "");

    private static AddedBackend Added(JsonObject json) => new(
        json["name"]?.GetValue<string>() ?? throw new FormatException("a backend has no name"),
        EndpointAddress.TryParse(json["address"]?.GetValue<string>() ?? "", out var address, out var error)
            ? address : throw new FormatException(error),
        WeightOf(json["weight"]),
        StateOf(json["adminState"]));

    private static AdminState StateOf(JsonNode? value) =>
        Enum.TryParse<AdminState>(value?.GetValue<string>(), out var state) && Enum.IsDefined(state)
            ? state : throw new FormatException("there is no such admin state");

    private static int WeightOf(JsonNode? value) =>
        value?.GetValue<int>() is { } weight and >= 0 and <= Backend.MaxWeight
            ? weight : throw new FormatException("there is no such weight");
}
