using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Transport;

namespace LoadBalancer.Tcp;

/// <summary>Finds a backend for one connection, and connects to it.</summary>
/// <param name="target">Where connections go.</param>
/// <param name="client">The client's connection.</param>
/// <param name="time">The clock of the time-outs.</param>
/// <param name="logger">Told of each failed attempt.</param>
internal sealed partial class BackendConnector(RelayTarget target, ISocketConnection client, TimeProvider time, ILogger logger)
{
    private readonly Lock _gate = new();
    private CancellationTokenSource? _waiting; // for whatever it is at the moment
    private bool _isGivenUp;

    /// <summary>Connects to one backend after the other until one takes the connection.</summary>
    /// <param name="source">The client's address.</param>
    /// <param name="destination">What the client connected to.</param>
    /// <returns>The backend and the connection to it; null where there is none, or it was given up.</returns>
    public async Task<(BackendLease Lease, ISocketConnection Connection)?> ConnectAsync(IPEndPoint? source, IPEndPoint? destination)
    {
        var hash = ClientHash.Of(source?.Address);
        List<Backend>? tried = null;
        while (true)
        {
            // 1. Choose a backend that was not tried yet; wait for one where all are full.
            var selection = new SelectionContext(tried, hash);
            if (!TryChoose(selection, out var lease) && (lease = await WaitForBackendAsync(selection)) is null)
            {
                return null;
            }
            if (tried is not null)
            {
                target.Pool.Statistics.CountRetry();
            }

            // 2. Connect.
            var limit = target.PoolOptions.Timeouts.Connect;
            using var wait = Begin(limit);
            ISocketConnection? connection = null;
            try
            {
                connection = await Connector.OpenAsync(lease.Backend.Address, wait.Token, client); // on the client's event loop
                if (target.PoolOptions.SendProxyProtocol)
                {
                    await connection.SendAsync(ProxyHeader.Write(source, destination));
                }
                lease.ObserveResponse();
                return (lease, connection);
            }
            catch (Exception e) when (e is SocketException or OperationCanceledException or ObjectDisposedException)
            {
                connection?.Dispose();
                if (_isGivenUp || FailureReason.IsLocal(e))
                {
                    lease.Dispose();
                    if (!_isGivenUp)
                    {
                        LogCannotConnect(target.Pool.Name, FailureReason.Of(e));
                    }
                    return null;
                }
                var reason = wait.IsCancellationRequested ? $"no connection within {limit.TotalSeconds} s" : FailureReason.Of(e);
                lease.Complete(AttemptOutcome.ConnectFailed, reason);
                LogConnectFailed(target.Pool.Name, lease.Backend.Name, reason);
                (tried ??= []).Add(lease.Backend);
            }
            finally
            {
                End();
            }
        }
    }

    /// <summary>Ends whatever is waited for; nobody wants the backend any more.</summary>
    public void GiveUp()
    {
        lock (_gate)
        {
            _isGivenUp = true;
            if (_waiting is { } waiting)
            {
                Cancel(waiting);
            }
        }
    }

    // Who waits goes first: nobody takes what has just become free from under them.
    private bool TryChoose(in SelectionContext selection, [NotNullWhen(true)] out BackendLease? lease)
    {
        lease = null;
        return target.Pool.WaitingRoom.Count == 0 && target.Pool.TryAcquire(selection, out lease);
    }

    /// <summary>
    /// Waits for the first probes or heartbeats, which may be under way when the node has just started, and for room where everybody is
    /// full.
    /// </summary>
    private async Task<BackendLease?> WaitForBackendAsync(SelectionContext selection)
    {
        var pool = target.Pool;
        try
        {
            if (!pool.Settled.IsCompleted)
            {
                using var settling = Begin(Timeout.InfiniteTimeSpan);
                await pool.Settled.WaitAsync(settling.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                if (!_isGivenUp && TryChoose(selection, out var settled))
                {
                    return settled;
                }
            }
            if (_isGivenUp || !pool.HasUntried(selection))
            {
                return null;
            }
            using var patience = Begin(target.PoolOptions.Queue.Timeout);
            var waiting = pool.WaitingRoom.TryEnter(selection, patience.Token);
            var lease = waiting is null ? null : await waiting;
            if (lease is null && (waiting is null || patience.IsCancellationRequested) && !_isGivenUp)
            {
                pool.Statistics.CountQueueRefusal();
            }
            return lease;
        }
        finally
        {
            End();
        }
    }

    private CancellationTokenSource Begin(TimeSpan limit)
    {
        var source = new CancellationTokenSource(limit, time);
        lock (_gate)
        {
            _waiting = source;
            if (_isGivenUp)
            {
                Cancel(source);
            }
        }
        return source;
    }

    // Not on this thread: whoever waits has much to do.
    private void Cancel(CancellationTokenSource source) =>
        BackgroundTask.Run(source.CancelAsync(), logger, $"pool '{target.Pool.Name}': giving up a connection to a backend");

    private void End()
    {
        lock (_gate)
        {
            _waiting = null;
        }
    }

    [LoggerMessage(80, LogLevel.Warning, "pool '{Pool}': backend '{Backend}' could not be connected to: {Reason}")]
    private partial void LogConnectFailed(string pool, string backend, string reason);

    [LoggerMessage(81, LogLevel.Warning,
        "pool '{Pool}': no backend could be connected to, for this machine has nothing to spare: {Reason}")]
    private partial void LogCannotConnect(string pool, string reason);
}
