namespace LoadBalancer.Configuration.Options;

/// <summary>Which responses are compressed for clients that accept it. A route that says <c>None</c> has none of it.</summary>
public sealed record CompressionOptions
{
    /// <summary>What lifts the listener's on a route: the text <c>None</c> in place of an object.</summary>
    internal static readonly CompressionOptions None = new() { Types = [] };

    /// <summary>
    /// The media types that are compressed: <c>application/json</c>, <c>text/*</c>, or <c>*</c> for all. <c>text/event-stream</c> only
    /// where it is named itself; gRPC never. Default: <c>text/*</c>, <c>application/json</c>, <c>application/javascript</c>,
    /// <c>image/svg+xml</c>.
    /// </summary>
    public IReadOnlyList<string> Types { get; init; } = ["text/*", "application/json", "application/javascript", "image/svg+xml"];

    /// <summary>The smallest body that is compressed, in bytes; one of unknown length is. Default 1024.</summary>
    public long MinSize { get; init; } = 1024;

    /// <summary>How much work goes into it. Default <c>Fastest</c>.</summary>
    public CompressionLevelName Level { get; init; } = CompressionLevelName.Fastest;
}
