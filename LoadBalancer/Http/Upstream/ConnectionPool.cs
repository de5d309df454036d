using System.Net;
using LoadBalancer.Configuration;
using LoadBalancer.Pools;

namespace LoadBalancer.Http.Upstream;

/// <summary>The connections to one backend: those in use, and those that lie idle until the next request takes the warmest.</summary>
internal sealed class ConnectionPool(Backend backend, TimeoutOptions timeouts, TimeProvider time) : IDisposable
{
    // Longer than most pauses between requests, shorter than most servers' patience (nginx 75 s, Kestrel 130 s). Servers with less
    // close the connection, which is noticed at once.
    private static readonly TimeSpan MaxIdle = TimeSpan.FromSeconds(60);

    // A name may come to mean another address; then connections to the old one must end some time.
    private static readonly TimeSpan MaxAge = TimeSpan.FromMinutes(15);

    private readonly bool _isName = !IPAddress.TryParse(backend.Address.Host, out _);
    private readonly Lock _gate = new();
    private readonly Stack<BackendConnection> _idle = new();
    private readonly HashSet<BackendConnection> _all = [];
    private bool _disposed;

    /// <summary>Takes an idle connection, the last one used first, or null where there is none.</summary>
    public BackendConnection? TryTake()
    {
        while (true)
        {
            BackendConnection? connection;
            lock (_gate)
            {
                if (!_idle.TryPop(out connection))
                {
                    return null;
                }
            }
            if (connection.TryWake())
            {
                return connection;
            }
            Drop(connection);
        }
    }

    /// <summary>Opens a new connection.</summary>
    /// <exception cref="ForwardException">It could not be opened, or not in time.</exception>
    public async Task<BackendConnection> OpenAsync(CancellationToken clientGone)
    {
        using var deadline = new CancellationTokenSource(timeouts.Connect, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, clientGone);
        BackendConnection connection;
        try
        {
            connection = await BackendConnection.OpenAsync(backend.Address, time, either.Token);
        }
        catch (Exception e) when (e is System.Net.Sockets.SocketException or OperationCanceledException)
        {
            throw clientGone.IsCancellationRequested ? new ForwardException(ForwardError.ClientGone, "the client went away")
                : deadline.IsCancellationRequested ? new ForwardException(ForwardError.ConnectTimeout, $"no connection within {timeouts.Connect.TotalSeconds} s")
                : new ForwardException(ForwardError.Connect, FailureReason.Of(e));
        }
        lock (_gate)
        {
            _all.Add(connection);
        }
        return connection;
    }

    /// <summary>Takes back a connection whose exchange is complete on both sides.</summary>
    public void Return(BackendConnection connection)
    {
        if (_isName && time.GetElapsedTime(connection.OpenedAt) > MaxAge || !connection.TryRest(OnClosed))
        {
            Drop(connection);
            return;
        }
        lock (_gate)
        {
            if (!_disposed)
            {
                _idle.Push(connection);
                return;
            }
        }
        Drop(connection);
    }

    /// <summary>Closes a connection for good.</summary>
    public void Drop(BackendConnection connection)
    {
        lock (_gate)
        {
            _all.Remove(connection);
        }
        connection.Dispose();
    }

    /// <summary>Aborts what is past its deadline and closes what has been idle for too long.</summary>
    public void Sweep()
    {
        var now = time.GetTimestamp();
        BackendConnection[] all;
        var spent = new List<BackendConnection>();
        lock (_gate)
        {
            all = [.. _all];
            // The coldest lie at the bottom.
            if (_idle.Count > 0 && time.GetElapsedTime(_idle.Last().IdleSince, now) >= MaxIdle)
            {
                var idle = _idle.ToLookup(connection => time.GetElapsedTime(connection.IdleSince, now) < MaxIdle);
                spent.AddRange(idle[false]);
                _idle.Clear();
                foreach (var connection in idle[true].Reverse())
                {
                    _idle.Push(connection);
                }
            }
        }
        spent.ForEach(Drop);
        foreach (var connection in all)
        {
            connection.CheckDeadline(now);
        }
    }

    /// <summary>Closes the idle connections; those in use are closed as they come back.</summary>
    public void Dispose()
    {
        BackendConnection[] idle;
        lock (_gate)
        {
            _disposed = true;
            idle = [.. _idle];
            _idle.Clear();
        }
        Array.ForEach(idle, Drop);
    }

    // It stays among the idle ones until somebody takes it, or it has been there for too long.
    private void OnClosed(BackendConnection connection)
    {
        Drop(connection);
        backend.Doubt();
    }
}
