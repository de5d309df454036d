namespace LoadBalancer.Acme;

/// <summary>What a node of a cluster knows of a name before it judges whether to order.</summary>
/// <param name="Name">The name.</param>
/// <param name="Files">Its files; the last one is that of the attempt.</param>
/// <param name="Revisions">The revision of etcd at which each of them is here; 0: it is not in etcd.</param>
internal sealed record AcmeStep(string Name, IReadOnlyList<SharedFile> Files, IReadOnlyList<long> Revisions)
{
    /// <summary>Whether that is all that the cluster knows.</summary>
    public bool IsReady { get; init; }

    /// <summary>Why nothing can be ordered now, for people; null also where that passes in a moment by itself.</summary>
    public string? WhyNot { get; set; }
}
