using LoadBalancer.Diagnostics;

namespace LoadBalancer.Transport;

/// <summary>
/// Counts the connections of a port, and enforces <c>MaxConnections</c>: a surplus connection is closed at once, counted and logged.
/// </summary>
/// <param name="listener">The listener's name.</param>
/// <param name="most">How many connections there may be at once; null where there is no limit.</param>
/// <param name="time">The clock that spaces the log lines.</param>
/// <param name="logger">Gets the number of surplus connections, every ten seconds at most.</param>
public sealed partial class ConnectionLimit(string listener, int? most, TimeProvider time, ILogger logger)
{
    private readonly LogGate _gate = new(time);
    private int _open;
    private long _refused;
    private long _logged;
    private volatile int _most = most ?? int.MaxValue;

    /// <summary>How many connections there may be at once; null where there is no limit. A change holds for later ones.</summary>
    public int? Most
    {
        get => _most == int.MaxValue ? null : _most;
        set => _most = value ?? int.MaxValue;
    }

    /// <summary>Connections that are open.</summary>
    public int Open => Volatile.Read(ref _open);

    /// <summary>Connections that were closed because there were too many.</summary>
    public long Refused => Interlocked.Read(ref _refused);

    /// <summary>Counts a new connection.</summary>
    /// <returns>False if there are too many: it must be closed. Otherwise <see cref="Leave"/> must be called when it has closed.</returns>
    public bool TryEnter()
    {
        if (Interlocked.Increment(ref _open) <= _most)
        {
            return true;
        }
        Leave();
        Interlocked.Increment(ref _refused);
        if (_gate.TryPass())
        {
            LogRefused(listener, Refused - Interlocked.Exchange(ref _logged, Refused), _most);
        }
        return false;
    }

    /// <summary>A connection is closed.</summary>
    public void Leave() => Interlocked.Decrement(ref _open);

    /// <summary>Serves a connection of Kestrel's, or closes it by returning at once.</summary>
    /// <param name="serve">Returns when the connection has ended.</param>
    public async Task HoldAsync(Func<Task> serve)
    {
        if (TryEnter())
        {
            try
            {
                await serve();
            }
            finally
            {
                Leave();
            }
        }
    }

    [LoggerMessage(42, LogLevel.Warning,
        "listener '{Listener}': {Count} connections were closed at once, because there are {Most} (MaxConnections) already")]
    private partial void LogRefused(string listener, long count, int most);
}
