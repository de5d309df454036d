using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Management;

/// <summary>Carries out what operators want of backends: at this node alone, or at all nodes of a cluster.</summary>
internal interface IPoolChanges
{
    /// <summary>Whether a setting of a backend of this pool can be given back to the file: a value of null.</summary>
    bool CanClear(BackendPool pool);

    /// <summary>Changes admin state, weight or both.</summary>
    Task<ChangeResult> PatchAsync(BackendPool pool, Backend backend, BackendPatch patch);

    /// <summary>Adds a backend, or replaces the one of that name.</summary>
    Task<ChangeResult> PutAsync(BackendPool pool, string name, EndpointAddress address, int weight);

    /// <summary>Drains a backend, and removes it when nothing is in flight.</summary>
    Task<ChangeResult> DeleteAsync(BackendPool pool, Backend backend);

    /// <summary>Gives a backend what it has had before, and adds it again if it is gone.</summary>
    Task<ChangeResult> RestoreAsync(BackendPool pool, string name, EndpointAddress address, int weight, AdminState state);
}

/// <summary>What to change of a backend. A value that is set and null is given back to the file.</summary>
internal sealed record BackendPatch(bool SetsAdminState, AdminState? AdminState, bool SetsWeight, int? Weight);

/// <summary>What became of a change.</summary>
/// <param name="Backend">The backend; null where the change was not carried out.</param>
/// <param name="Error">Why not; empty where it was.</param>
/// <param name="IsUnavailable">Whether that is for now, and the same change may be carried out later.</param>
internal sealed record ChangeResult(Backend? Backend, string Error, bool IsUnavailable = false);
