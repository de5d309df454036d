using LoadBalancer.Pools;

namespace LoadBalancer.Cluster;

/// <summary>What operators have set for one backend. What nobody has set is null.</summary>
/// <param name="AdminState">Its admin state; with a value of null it is that of the file.</param>
/// <param name="Weight">Its weight; with a value of null it is that of the file.</param>
/// <param name="Added">That the API added it, or gave it another address; with a value of null, that the API deleted it.</param>
internal sealed record SharedBackend(Setting<AdminState?>? AdminState, Setting<int?>? Weight, Setting<AddedBackend?>? Added)
{
    /// <summary>That nobody has set anything.</summary>
    public static SharedBackend None { get; } = new(null, null, null);

    /// <summary>When the last of it was set; the smallest time where nothing was.</summary>
    public DateTimeOffset Time => new[]
    {
        AdminState?.Time ?? default, Weight?.Time ?? default, Added?.Time ?? default,
    }.Max();

    /// <summary>The node at which the last of it was set.</summary>
    public string Node => new[]
    {
        (AdminState?.Time, AdminState?.Node), (Weight?.Time, Weight?.Node), (Added?.Time, Added?.Node),
    }.MaxBy(setting => setting.Time ?? default).Node ?? "";

    /// <summary>What holds of both. The order of any number of merges does not matter, nor does merging the same again.</summary>
    public SharedBackend Merge(SharedBackend other) => new(
        Setting<AdminState?>.Later(AdminState, other.AdminState),
        Setting<int?>.Later(Weight, other.Weight),
        Setting<AddedBackend?>.Later(Added, other.Added));

    /// <summary>What an operator wants, over what is known: its time is later than all of that, whatever other nodes' clocks say.</summary>
    /// <param name="change">What the operator wants.</param>
    /// <param name="now">The time by this node's clock.</param>
    /// <param name="node">This node.</param>
    public SharedBackend With(OperatorChange change, DateTimeOffset now, string node)
    {
        var time = now > Time ? now.ToUniversalTime() : Time.AddTicks(1);
        return change switch
        {
            OperatorChange.Patch patch => this with
            {
                AdminState = patch.SetsAdminState ? new(patch.AdminState, time, node) : AdminState,
                Weight = patch.SetsWeight ? new(patch.Weight, time, node) : Weight,
            },
            OperatorChange.Put put => this with { Added = new(put.Backend, time, node) },
            _ => this with { Added = new(null, time, node) },
        };
    }

    /// <summary>Whether nothing holds of it, and it was given back to the file, or deleted, before this time.</summary>
    public bool IsNothingSince(DateTimeOffset time) =>
        this != None && Time < time && AdminState?.Value is null && Weight?.Value is null && Added?.Value is null;

    /// <summary>For the log.</summary>
    public override string ToString() => string.Join(", ", new[]
    {
        Added is null ? null
            : Added.Value is { } added ? $"added at {added.Address}, {added.AdminState}, weight {added.Weight}"
            : "deleted",
        AdminState is null ? null : AdminState.Value is { } state ? $"{state}" : "admin state as in the file",
        Weight is null ? null : Weight.Value is { } weight ? $"weight {weight}" : "weight as in the file",
    }.Where(text => text is not null));

    /// <summary>The part at one of its two keys.</summary>
    public SharedBackend Part(SharedPart part) =>
        part == SharedPart.Admin ? this with { Added = null } : None with { Added = Added };

    /// <summary>Everything but the part at one of its two keys.</summary>
    public SharedBackend Without(SharedPart part) =>
        part == SharedPart.Admin ? None with { Added = Added } : this with { Added = null };
}

/// <summary>What of a backend has a key of its own.</summary>
internal enum SharedPart
{
    /// <summary>Admin state and weight.</summary>
    Admin,

    /// <summary>That the API added or deleted it.</summary>
    Added,
}
