using System.Diagnostics.CodeAnalysis;

namespace LoadBalancer.Health.Heartbeats;

/// <summary>Bound sockets for the heartbeats of pools, until they are taken. To dispose of it closes those that were not.</summary>
public sealed class HeartbeatReservation : IDisposable
{
    private readonly Dictionary<string, (HeartbeatSocket Socket, bool IsNew)> _sockets = new(StringComparer.OrdinalIgnoreCase); // by pool

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var (socket, isNew) in _sockets.Values)
        {
            if (isNew)
            {
                socket.Dispose();
            }
        }
        _sockets.Clear();
    }

    /// <summary>Adds a socket for a pool: a new one, or one that another pool has until this one takes it.</summary>
    internal void Add(string pool, HeartbeatSocket socket, bool isNew) => _sockets[pool] = (socket, isNew);

    /// <summary>Takes the socket of a pool, where there is one.</summary>
    internal bool TryTake(string pool, [NotNullWhen(true)] out HeartbeatSocket? socket)
    {
        var isThere = _sockets.Remove(pool, out var entry);
        socket = entry.Socket;
        return isThere;
    }
}
