namespace LoadBalancer.Configuration.Options;

/// <summary>The nodes that act as one, which know of each other by etcd (3.4 and later). A change of it needs a restart.</summary>
public sealed record ClusterOptions
{
    /// <summary>The shortest lease.</summary>
    public static readonly TimeSpan ShortestLease = TimeSpan.FromSeconds(2);

    /// <summary>The longest lease.</summary>
    public static readonly TimeSpan LongestLease = TimeSpan.FromSeconds(60);

    /// <summary>The name that all nodes of the cluster have in common: letters, digits, <c>-</c>, <c>_</c>, <c>.</c>. Required.</summary>
    public string Name { get; init; } = null!;

    /// <summary>
    /// The name of this node, which no other one of the cluster has: letters, digits, <c>-</c>, <c>_</c>, <c>.</c>. Default null: the
    /// host's name.
    /// </summary>
    public string? Node { get; init; }

    /// <summary>
    /// The addresses of etcd, with <c>http://</c> or <c>https://</c>; one of them is used, and the next one where it fails. Required.
    /// </summary>
    public IReadOnlyList<string> Etcd { get; init; } = [];

    /// <summary>The user at etcd. Default null: etcd asks for none.</summary>
    public string? Username { get; init; }

    /// <summary>A file with the user's password, and nothing else. Default null: none.</summary>
    [BesideConfiguration]
    public string? PasswordFile { get; init; }

    /// <summary>A PEM file of the authorities to trust, instead of the system's, when speaking to etcd. Default null.</summary>
    [BesideConfiguration]
    public string? AuthorityFile { get; init; }

    /// <summary>
    /// A file with a secret that all nodes have, of 32 characters or more, and nothing else: certificates of <c>Acme</c> are in etcd,
    /// encrypted with a key that is derived from it. Required where a listener has <c>Acme</c>. Default null: none.
    /// </summary>
    [BesideConfiguration]
    public string? SecretFile { get; init; }

    /// <summary>
    /// How long the others wait for a node that says nothing more, in whole seconds. Default 5 s; from 2 s to 60 s, the same on all nodes.
    /// </summary>
    public TimeSpan LeaseTime { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// Where the node keeps a copy of what operators have set, and of the shared configuration, with which it starts when etcd is away: one
    /// file for each cluster and node.
    /// Default null: <c>loadbalancer/cluster</c> in the user's directory for application data.
    /// </summary>
    [BesideConfiguration]
    public string? StateDirectory { get; init; }

    /// <summary>
    /// Whether this node takes Pools, Listeners (but for their addresses), RateLimits and Authentication from the configuration that was
    /// pushed to the cluster last, and not from its own file. Default false.
    /// </summary>
    public bool ShareConfiguration { get; init; }

    /// <inheritdoc/>
    public override string ToString() => nameof(ClusterOptions); // whatever somebody may have written there

    /// <summary>Whether all settings of two are the same, or both are missing.</summary>
    internal static bool AreSame(ClusterOptions? here, ClusterOptions? there) =>
        here is null || there is null ? here is null && there is null : ListenerOptions.HaveSameSettings(here, there);

    /// <summary>The name of this node.</summary>
    internal string NodeName => Node ?? Environment.MachineName;
}
