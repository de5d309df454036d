using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Discovery;

/// <summary>A name of a pool's configuration that is looked up.</summary>
/// <param name="Kind">What becomes of its servers.</param>
/// <param name="Host">The name.</param>
internal sealed record NameKey(NameKind Kind, string Host)
{
    /// <summary>Whether its servers are members of the pool.</summary>
    public bool IsOfMembers => Kind != NameKind.First;

    /// <summary>The name of a backend; null where its address has none, such as an IP address.</summary>
    public static NameKey? Of(BackendOptions backend) =>
        backend.Address.IsService ? new NameKey(NameKind.Service, backend.Address.Host)
        : Uri.CheckHostName(backend.Address.Host) != UriHostNameType.Dns ? null
        : new NameKey(backend.Resolve == ResolveMode.All ? NameKind.All : NameKind.First, backend.Address.Host);
}
