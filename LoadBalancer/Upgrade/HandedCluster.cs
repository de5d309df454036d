namespace LoadBalancer.Upgrade;

/// <summary>The place of a node in its cluster.</summary>
internal sealed class HandedCluster
{
    /// <summary>The name of the cluster.</summary>
    public string Name { get; set; } = "";

    /// <summary>The name of the node.</summary>
    public string Node { get; set; } = "";

    /// <summary>The lease that its key has at etcd; 0 where it has none.</summary>
    public long Lease { get; set; }

    /// <summary>Whether it is the place of this node. What is held for another name, or in another cluster, is of no use.</summary>
    public bool IsOf(string cluster, string node) => Name == cluster && Node == node;
}
