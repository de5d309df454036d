namespace LoadBalancer.Cluster;

/// <summary>
/// How a node has judged one setting against its own file: the setting holds until the file says something else than when it was set.
/// </summary>
/// <param name="Time">The time of the setting; a later one is judged anew.</param>
/// <param name="Said">What the file said of the backend at first; null where it did not name it.</param>
/// <param name="IsOver">Whether the file has said something else since. It stays so, even if the file is changed back.</param>
internal sealed record Judged(DateTimeOffset Time, string? Said, bool IsOver)
{
    /// <summary>Judges a setting.</summary>
    /// <param name="before">How it was judged last; null where it was not.</param>
    /// <param name="time">The time of the setting; null where there is none.</param>
    /// <param name="says">What the file says now; null where it does not name the backend.</param>
    /// <param name="isNaming">
    /// Whether it matters that the file names the backend, or ceases to: it does for a backend that the API added. It does not for a drain,
    /// which also holds at a node whose file gets the backend a moment later.
    /// </param>
    public static Judged? Of(Judged? before, DateTimeOffset? time, string? says, bool isNaming) =>
        time is not { } set ? null
        : before?.Time != set ? new Judged(set, says, IsOver: false)
        : before.IsOver || says == before.Said ? before
        : isNaming || (says is not null && before.Said is not null) ? before with { IsOver = true }
        : before with { Said = before.Said ?? says };
}

/// <summary>How a node has judged the settings of one backend.</summary>
/// <param name="AdminState">Its admin state.</param>
/// <param name="Weight">Its weight.</param>
/// <param name="Added">That the API added or deleted it.</param>
internal sealed record JudgedBackend(Judged? AdminState, Judged? Weight, Judged? Added);
