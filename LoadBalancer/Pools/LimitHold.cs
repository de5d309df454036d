namespace LoadBalancer.Pools;

/// <summary>
/// Lets the adaptive limit of a backend be held low while its base time is measured: of one backend of a pool at a time, and only while
/// all others are there to do its work.
/// </summary>
internal sealed class LimitHold
{
    // To find the base time takes 25 responses.
    private static readonly TimeSpan Longest = TimeSpan.FromSeconds(5);

    private Backend? _held;
    private long _since;

    /// <summary>Whether the limit of some backend is held.</summary>
    public bool IsAny => _held is not null;

    /// <summary>Whether that of this backend is.</summary>
    public bool IsOf(Backend backend) => _held == backend;

    /// <summary>Begins or ends it. Called when a window of a backend has ended.</summary>
    public void Revise(Backend backend, AdaptiveLimit limit, PoolSnapshot now)
    {
        var time = backend.Health.Time;
        if (_held is { } held)
        {
            if (held.Adaptive?.IsHeld != true || time.GetElapsedTime(Volatile.Read(ref _since)) > Longest
                || now.Eligible.Length != now.Members.Length)
            {
                End();
            }
        }
        else if (limit.WantsHold && now.Eligible.Length == now.Members.Length
            && now.Eligible.Any(other => other != backend && other.HasRoom)
            && Interlocked.CompareExchange(ref _held, backend, null) is null)
        {
            Volatile.Write(ref _since, time.GetTimestamp());
            limit.Hold();
            if (Volatile.Read(ref _held) != backend)
            {
                limit.Release(); // It was ended meanwhile.
            }
        }
    }

    /// <summary>Ends it, because the place is needed or somebody is out.</summary>
    /// <returns>Whether there may be room now.</returns>
    public bool End()
    {
        var held = Interlocked.Exchange(ref _held, null);
        held?.Adaptive?.Release();
        return held is not null;
    }
}
