using System.Diagnostics.CodeAnalysis;
using LoadBalancer.Http.Messages;
using LoadBalancer.Pools;
using Microsoft.AspNetCore.Connections.Features;

namespace LoadBalancer.Http.Upstream.Http1;

/// <summary>
/// The connections to backends that belong to one client's connection, because the backend authenticates the connection and not each
/// request (NTLM, Negotiate): another client's request would be carried out in the name of the first. They end with the client's.
/// </summary>
internal sealed class BoundConnections
{
    private static int _clients; // as long as it is 0, nobody looks for any

    private readonly Lock _gate = new();
    private readonly Dictionary<Http1Connections, Http1Connection> _connections = [];
    private bool _isClosed;

    /// <summary>Those of a request's client; null where it has none.</summary>
    public static BoundConnections? Find(HttpContext context) =>
        Volatile.Read(ref _clients) > 0 && context.Features.Get<IConnectionItemsFeature>()?.Items is { } items
        && items.TryGetValue(typeof(BoundConnections), out var found) ? (BoundConnections?)found : null;

    /// <summary>The same, made where there are none; null where a client's connection carries several requests at once.</summary>
    public static BoundConnections? Make(HttpContext context)
    {
        if (Find(context) is { } known)
        {
            return known;
        }
        if (!RequestRules.IsHttp1(context.Request.Protocol)
            || context.Features.Get<IConnectionItemsFeature>()?.Items is not { } items
            || context.Features.Get<IConnectionLifetimeFeature>() is not { } lifetime)
        {
            return null;
        }
        var made = new BoundConnections();
        items[typeof(BoundConnections)] = made;
        Interlocked.Increment(ref _clients);
        lifetime.ConnectionClosed.UnsafeRegister(static made => ((BoundConnections)made!).Close(), made);
        return made;
    }

    /// <summary>The client's backend among the members of a pool; null where it has none there.</summary>
    public Backend? BackendIn(BackendPool pool)
    {
        lock (_gate)
        {
            return _connections.Keys.Select(connections => connections.Backend).FirstOrDefault(pool.Snapshot.Members.Contains);
        }
    }

    /// <summary>Keeps an idle connection.</summary>
    /// <returns>False where the client is gone.</returns>
    public bool TryPut(Http1Connections owner, Http1Connection connection, out Http1Connection? replaced)
    {
        lock (_gate)
        {
            _connections.Remove(owner, out replaced);
            if (!_isClosed)
            {
                _connections[owner] = connection;
            }
            return !_isClosed;
        }
    }

    /// <summary>Takes the connection to a backend.</summary>
    public bool TryTake(Http1Connections owner, [NotNullWhen(true)] out Http1Connection? connection)
    {
        lock (_gate)
        {
            return _connections.Remove(owner, out connection);
        }
    }

    private void Close()
    {
        List<(Http1Connections Owner, Http1Connection Connection)> left;
        lock (_gate)
        {
            _isClosed = true;
            left = [.. _connections.Select(entry => (entry.Key, entry.Value))];
            _connections.Clear();
        }
        left.ForEach(entry => entry.Owner.Drop(entry.Connection));
        Interlocked.Decrement(ref _clients);
    }
}
