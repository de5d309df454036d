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
/// <param name="logger">Logs each failed attempt.</param>
internal sealed partial class BackendConnector(RelayTarget target, ISocketConnection client, TimeProvider time, ILogger logger)
{
    private readonly Lock _gate = new();
    private CancellationTokenSource? _waiting; // cancels the present wait, for a backend or for a connection
    private bool _isGivenUp;

    /// <summary>Connects to one backend after the other until one takes the connection.</summary>
    /// <param name="source">The client's address.</param>
    /// <param name="destination">What the client connected to.</param>
    /// <returns>The backend and the connection to it; null if there is none, or after <see cref="GiveUp"/>.</returns>
    public async Task<(BackendLease Lease, ISocketConnection Connection)?> ConnectAsync(IPEndPoint? source, IPEndPoint? destination)
    {
        var hash = ClientHash.Of(source?.Address);
        List<Backend>? tried = null;
        while (true)
        {
            // 1. Choose a backend that was not tried yet; wait for one where all are full.
            var selection = new SelectionContext(tried, hash);
            if (!target.Pool.TryAcquireInTurn(selection, out var lease) && (lease = await WaitForBackendAsync(selection)) is null)
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
                // On the client's event loop.
                connection = await Connector.OpenAsync(lease.Backend.Address, lease.Backend.Hosts, wait.Token, client);
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
                lease.Complete(
                    AttemptOutcome.ConnectFailed, reason, wait.IsCancellationRequested ? FailureKind.Timeout : FailureKind.Connect);
                LogConnectFailed(target.Pool.Name, lease.Backend.Name, reason);
                (tried ??= []).Add(lease.Backend);
            }
            finally
            {
                End();
            }
        }
    }

    /// <summary>Ends the present wait: the backend is no longer needed.</summary>
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

    private async Task<BackendLease?> WaitForBackendAsync(SelectionContext selection)
    {
        using var wait = Begin(Timeout.InfiniteTimeSpan);
        try
        {
            var admission = await target.Pool.AcquireAsync(selection, target.PoolOptions.Queue.Timeout, time, wait.Token);
            if (admission.Rejection is Rejection.QueueFull or Rejection.QueueTimeout)
            {
                target.Pool.Statistics.CountQueueRefusal();
            }
            return admission.Lease;
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

    // Not on this thread: the continuation may run for long.
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
        "pool '{Pool}': no backend could be connected to, because this machine is out of resources: {Reason}")]
    private partial void LogCannotConnect(string pool, string reason);
}
