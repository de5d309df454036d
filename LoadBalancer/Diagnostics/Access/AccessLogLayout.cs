using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Diagnostics.Access;

/// <summary>What is in the lines of an access log, and how.</summary>
public sealed class AccessLogLayout
{
    private const string Common = "Common";
    private const string Combined = "Combined";
    private const string Json = "Json";

    private AccessLogLayout(string text, IReadOnlyList<AccessField> fields, bool hasQuery)
    {
        (IsCombined, Fields, HasQuery) = (text == Combined, fields, hasQuery);
        NeedsHead = IsCombined || fields.Any(field => field.NeedsHead);
    }

    /// <summary>The format of a listener that names none.</summary>
    public static AccessLogLayout Default { get; } = new(Common, [], hasQuery: false);

    /// <summary>The formats that have names.</summary>
    public static IReadOnlyList<string> Names { get; } = [Common, Combined, Json];

    /// <summary>The fields of a JSON object; empty where the line is text.</summary>
    public IReadOnlyList<AccessField> Fields { get; }

    /// <summary>Whether a line of text ends with referrer and user agent.</summary>
    public bool IsCombined { get; }

    /// <summary>Whether the query of a target is written, where the format has it.</summary>
    public bool HasQuery { get; }

    /// <summary>Whether it has parts of the request's head that are not read for others.</summary>
    public bool NeedsHead { get; }

    /// <summary>The layout of a listener's log; its options must be valid.</summary>
    public static AccessLogLayout Of(HttpListenerOptions listener)
    {
        var format = listener.AccessLogFormat;
        var name = format is [var only] ? Names.FirstOrDefault(name => name.Equals(only, StringComparison.OrdinalIgnoreCase)) : null;
        IReadOnlyList<AccessField> fields = name switch
        {
            Json => AccessField.All,
            null => [.. format.Select(field => AccessField.Find(field)!)],
            _ => [],
        };
        return new AccessLogLayout(name ?? Json, fields, listener.AccessLogQuery);
    }

    /// <summary>The part of a format that is not valid; null where all is.</summary>
    public static string? FindUnknown(IReadOnlyList<string> format) =>
        format is [var only] && Names.Contains(only, StringComparer.OrdinalIgnoreCase) ? null
        : format.FirstOrDefault(field => AccessField.Find(field) is null);
}
