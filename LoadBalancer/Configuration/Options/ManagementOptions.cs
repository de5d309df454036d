using LoadBalancer.Net;

namespace LoadBalancer.Configuration.Options;

/// <summary>The management listener.</summary>
public sealed record ManagementOptions
{
    /// <summary>Where it listens: <c>http://127.0.0.1:8081</c>. Required.</summary>
    public EndpointAddress Address { get; init; } = null!;

    /// <summary>
    /// The token that every request must carry, as <c>Authorization: Bearer</c>; required on an address that other machines can reach.
    /// Default null: none.
    /// </summary>
    public string? Token { get; init; }

    /// <summary>Whether only this machine can reach it.</summary>
    internal bool IsLoopback => Address.IsLoopback;
}
