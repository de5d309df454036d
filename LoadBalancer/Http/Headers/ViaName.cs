using Microsoft.Extensions.Primitives;

namespace LoadBalancer.Http.Headers;

/// <summary>The name of this proxy in <c>Via</c> (RFC 9110 section 7.6.3), where a listener has one.</summary>
/// <param name="name">The name, a token: the section calls it a pseudonym.</param>
internal sealed class ViaName(string name)
{
    // A request that has passed a proxy of this name so often is in a loop.
    private const int MaxPasses = 10;

    // Ready-made, so that no request has to put them together.
    private readonly string _http10 = $"1.0 {name}";
    private readonly string _http11 = $"1.1 {name}";
    private readonly string _http2 = $"2 {name}";
    private readonly string _http3 = $"3 {name}";

    /// <summary>Makes the name of a listener's options; null where it has none.</summary>
    public static ViaName? Of(string? name) => name is null ? null : new ViaName(name);

    /// <summary>What is added to a request: the protocol in which it was received, and the name.</summary>
    public string For(string protocol) =>
        HttpProtocol.IsHttp11(protocol) ? _http11
        : HttpProtocol.IsHttp2(protocol) ? _http2
        : HttpProtocol.IsHttp10(protocol) ? _http10
        : _http3;

    /// <summary>Whether <c>Via</c> has the name so often that the request must be in a loop.</summary>
    public bool IsLoop(StringValues via) => via.Count > 0 && via.Sum(line => line!.Split(',').Count(IsThis)) >= MaxPasses;

    private bool IsThis(string hop) => hop.TrimEnd().EndsWith(" " + name, StringComparison.OrdinalIgnoreCase);
}
