using System.Net;
using System.Net.Sockets;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Transport;

/// <summary>
/// Accepts connections on a socket of the framework. Does the same as <see cref="EpollAcceptLoop"/>: keeps some files free for backends
/// (on Linux, the only system on which a file's number says how many are left), waits a moment if no more files can be opened, and
/// closes surplus connections at once.
/// </summary>
internal sealed class SocketAcceptLoop : IDisposable
{
    // The framework completes accepts synchronously while connections wait; after this many, other work of the thread comes first.
    private const int Batch = 64;

    private readonly ListenSocket _bound;
    private readonly Socket _listening;
    private readonly ConnectionLimit _limit;
    private readonly Action<Socket, EndPoint, EndPoint> _accepted;
    private readonly TimeProvider _time;
    private readonly AcceptTrouble _trouble;
    private readonly CancellationTokenSource _disposed = new(); // Another loop may go on with the socket, so closing it is not enough.
    private bool _isDisposed;

    private SocketAcceptLoop(
        ListenSocket bound, ConnectionLimit limit, Action<Socket, EndPoint, EndPoint> accepted, TimeProvider time,
        AcceptTrouble trouble)
    {
        (_bound, _listening, _limit, _accepted, _time, _trouble) = (bound, bound.Socket, limit, accepted, time, trouble);
    }

    /// <inheritdoc cref="EpollAcceptLoop.Start"/>
    public static SocketAcceptLoop Start(
        ListenSocket bound, string listener, ConnectionLimit limit, Action<Socket, EndPoint, EndPoint> accepted, TimeProvider time,
        ILogger logger)
    {
        try
        {
            bound.Socket.Listen(AcceptTrouble.Backlog);
        }
        catch
        {
            bound.Dispose();
            throw;
        }
        if (OperatingSystem.IsLinux())
        {
            FileReserve.Enter();
        }
        var loop = new SocketAcceptLoop(bound, limit, accepted, time, new AcceptTrouble(listener, time, logger));
        BackgroundTask.Run(loop.AcceptAllAsync(), logger, $"listener '{listener}': accepting connections");
        return loop;
    }

    /// <summary>Accepts nothing more. Open connections go on.</summary>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref _isDisposed, true))
        {
            return;
        }
        if (OperatingSystem.IsLinux())
        {
            FileReserve.Leave();
        }
        _disposed.Cancel();
        _disposed.Dispose();
        AcceptRest();
        _bound.Dispose();
    }

    // To its client a connection in the queue is open. The system would reset it when the socket is closed.
    private void AcceptRest()
    {
        try
        {
            _listening.Blocking = false;
            for (var i = 0; i < AcceptTrouble.Backlog; i++)
            {
                Deliver(_listening.Accept());
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // There are no more.
        }
    }

    private async Task AcceptAllAsync()
    {
        for (var count = 1; !_isDisposed; count++)
        {
            try
            {
                var accepted = await _listening.AcceptAsync(_disposed.Token);
                var isShortOfFiles = OperatingSystem.IsLinux() && accepted.Handle >= FileReserve.SharedFrom;
                Deliver(accepted);
                while (isShortOfFiles && OperatingSystem.IsLinux() && !FileReserve.MayAccept(_listening.SafeHandle, _limit.Open))
                {
                    await TryAgainLaterAsync(Libc.Error(Libc.TooManyFiles));
                }
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.ConnectionReset or SocketError.ConnectionAborted)
            {
                // The client had gone already.
            }
            catch (Exception e) when (_isDisposed && e is SocketException or ObjectDisposedException or OperationCanceledException)
            {
                return;
            }
            catch (SocketException e)
            {
                await TryAgainLaterAsync(e);
            }
            if (count % Batch == 0)
            {
                await Task.Yield();
            }
        }
    }

    private void Deliver(Socket accepted)
    {
        if (!_limit.TryEnter())
        {
            accepted.Dispose();
            return;
        }
        try
        {
            if (_bound.Address is not IPEndPoint)
            {
                _accepted(accepted, _bound.Address, _bound.Address);
                return;
            }
            accepted.NoDelay = true;
            _accepted(accepted, accepted.LocalEndPoint!, accepted.RemoteEndPoint!);
        }
        catch (SocketException)
        {
            accepted.Dispose(); // It was reset before we could look at it.
            _limit.Leave();
        }
    }

    private async Task TryAgainLaterAsync(SocketException reason)
    {
        _trouble.Report(reason);
        await Task.Delay(AcceptTrouble.RetryDelay, _time);
    }
}
