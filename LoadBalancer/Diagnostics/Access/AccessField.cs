using System.Globalization;
using System.Text.Json;

namespace LoadBalancer.Diagnostics.Access;

/// <summary>One field of an access log in JSON.</summary>
/// <param name="Name">Its key.</param>
/// <param name="NeedsHead">Whether it is a part of the request's head that is not read for others.</param>
/// <param name="Write">Writes its value.</param>
public sealed record AccessField(string Name, bool NeedsHead, Action<Utf8JsonWriter, AccessRecord> Write)
{
    /// <summary>All of them, in the order of a line.</summary>
    public static IReadOnlyList<AccessField> All { get; } =
    [
        new("time", false, (json, record) => json.WriteStringValue(
            record.Time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture))),
        Text("client", record => record.ClientText),
        Text("method", record => record.Method),
        Text("host", record => record.Host, true),
        new("path", false, (json, record) => json.WriteStringValue(record.Path)),
        Text("query", record => record.Layout.HasQuery ? record.Query : null),
        Text("route", record => record.Route),
        Text("protocol", record => record.Protocol),
        Text("tls", record => record.TlsVersion, true),
        new("status", false, (json, record) => json.WriteNumberValue(record.Status)),
        new("bytes", false, (json, record) => json.WriteNumberValue(record.Bytes)),
        new("seconds", false, (json, record) => json.WriteNumberValue(Seconds(record.Duration))),
        new("backendSeconds", false, (json, record) =>
        {
            if (record.BackendTime is { } time)
            {
                json.WriteNumberValue(Seconds(time));
            }
            else
            {
                json.WriteNullValue();
            }
        }),
        Text("backend", record => record.Backend is null ? null : $"{record.Pool}/{record.Backend}"),
        new("attempts", false, (json, record) => json.WriteNumberValue(record.Attempts)),
        Text("error", record => record.Error),
        Text("userAgent", record => record.UserAgent, true),
        Text("referer", record => record.Referer, true),
        Text("requestId", record => record.RequestId),
        Text("traceId", record => record.TraceId, true),
    ];

    /// <summary>A field by its name, in any letter case; null where there is none.</summary>
    public static AccessField? Find(string name) =>
        All.FirstOrDefault(field => field.Name.Equals(name, StringComparison.OrdinalIgnoreCase));

    private static AccessField Text(string name, Func<AccessRecord, string?> value, bool needsHead = false) =>
        new(name, needsHead, (json, record) => json.WriteStringValue(value(record)));

    private static decimal Seconds(TimeSpan time) => (long)time.TotalMicroseconds / 1e6m;
}
