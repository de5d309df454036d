using System.Net;

namespace LoadBalancer.Configuration.Options;

/// <summary>The versions of HTTP that a plain listener speaks: one, or both.</summary>
/// <param name="Has11">Whether HTTP/1.1 is one of them.</param>
/// <param name="Has2">Whether HTTP/2 with prior knowledge is.</param>
public readonly record struct HttpVersions(bool Has11, bool Has2)
{
    /// <summary>Both, told apart by the first bytes of a connection.</summary>
    public static readonly HttpVersions Both = new(true, true);

    /// <summary>One version alone.</summary>
    public static implicit operator HttpVersions(Version version) => FromVersion(version);

    /// <summary>One version alone.</summary>
    public static HttpVersions FromVersion(Version version) => new(version == HttpVersion.Version11, version == HttpVersion.Version20);

    /// <summary>Reads <c>1.1</c>, <c>2</c> or <c>1.1+2</c>; null where it is none of them.</summary>
    public static HttpVersions? Parse(string text) => text switch
    {
        "1.1" => FromVersion(HttpVersion.Version11),
        "2" or "2.0" => FromVersion(HttpVersion.Version20),
        "1.1+2" => Both,
        _ => (HttpVersions?)null,
    };

    /// <inheritdoc/>
    public override string ToString() => (Has11, Has2) switch { (true, true) => "1.1+2", (true, _) => "1.1", _ => "2" };
}
