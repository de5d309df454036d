using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Tls;

namespace LoadBalancer.Health.Probes;

/// <summary>One question of a probe over HTTP; a connection of its own carries it.</summary>
internal sealed record ProbeRequest
{
    /// <summary>The backend.</summary>
    public required Backend Backend { get; init; }

    /// <summary>Where to connect to: the backend's address, or another port there.</summary>
    public required EndpointAddress Address { get; init; }

    /// <summary>Checks the certificate of an https:// backend.</summary>
    public required BackendTrust Trust { get; init; }

    /// <summary>Whether it goes over HTTP/2 to an http:// backend; with https:// that is negotiated.</summary>
    public bool IsHttp2 { get; init; }

    /// <summary>Whether HTTP/1.1 cannot carry it.</summary>
    public bool IsHttp2Only { get; init; }

    /// <summary>The method.</summary>
    public required string Method { get; init; }

    /// <summary>Path and query.</summary>
    public required string Target { get; init; }

    /// <summary>What it names as the host.</summary>
    public required string Host { get; init; }

    /// <summary>Its other header fields.</summary>
    public required IEnumerable<(string Name, string Value)> Fields { get; init; }

    /// <summary>Its body, over HTTP/2 only.</summary>
    public ReadOnlyMemory<byte> Body { get; init; }

    /// <summary>How much of the response's body is wanted, in bytes; with 0 only the head is read.</summary>
    public int BodyLimit { get; init; }

    /// <summary>What ends the reading of the body early; empty: nothing does.</summary>
    public ReadOnlyMemory<byte> Awaited { get; init; }

    /// <summary>
    /// The host to name where the configuration has none: that of the address, with the port unless it is the scheme's own.
    /// </summary>
    public static string HostOf(EndpointAddress address) =>
        (address.Scheme, address.Port) is ("http", 80) or ("https", 443)
            ? (address with { Port = EndpointAddress.NoPort }).Authority
            : address.Authority;
}
