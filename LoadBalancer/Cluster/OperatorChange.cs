using LoadBalancer.Pools;

namespace LoadBalancer.Cluster;

/// <summary>What an operator wants of one backend, at all nodes.</summary>
internal abstract record OperatorChange
{
    private OperatorChange()
    {
    }

    /// <summary>The key that it changes.</summary>
    public SharedPart Part => this is Patch ? SharedPart.Admin : SharedPart.Added;

    /// <summary>Sets admin state, weight or both; null: as the file says.</summary>
    public sealed record Patch(bool SetsAdminState, AdminState? AdminState, bool SetsWeight, int? Weight) : OperatorChange;

    /// <summary>Adds a backend, or sets everything of one that is there.</summary>
    public sealed record Put(AddedBackend Backend) : OperatorChange;

    /// <summary>Deletes a backend that the API added. Nodes whose file names it disable it.</summary>
    public sealed record Delete : OperatorChange;
}
