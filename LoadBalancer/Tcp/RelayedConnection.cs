using System.Buffers;
using System.Net;
using System.Net.Sockets;
using System.Security.Authentication;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Pools.Statistics;
using LoadBalancer.Tls;
using LoadBalancer.Transport;

namespace LoadBalancer.Tcp;

/// <summary>
/// One connection of a client, relayed to a backend: bytes pass unchanged; the end of one half is passed on as the end of that half,
/// and a reset as a reset. The steps are in <see cref="ServeAsync"/>, top to bottom.
/// </summary>
internal sealed partial class RelayedConnection
{
    // An idle connection holds no buffer; a large one is used only for large transfers.
    private const int FirstBuffer = 16 * 1024;
    private const int LargeBuffer = 64 * 1024;

    // How much a client may still send, and for how long, after the message that there is no backend. Closing at once would reset a
    // connection with unread bytes, and the client might see the reset before the message.
    private const int MostDrained = 1024 * 1024;
    private static readonly TimeSpan DrainTime = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan HandshakeTimeout = TimeSpan.FromSeconds(10);

    // How long a reset waits for the bytes before it to be sent.
    private static readonly TimeSpan ResetTime = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan ResetPoll = TimeSpan.FromMilliseconds(50);

    private const int Open = -1;

    private readonly TcpRelayListener _listener;
    private readonly RelayTarget _target;
    private readonly ISocketConnection _socket; // the client's, beneath TLS
    private readonly EndPoint _peer;
    private IPEndPoint? _source; // null where it comes through a Unix socket
    private IPEndPoint? _destination;
    private IConnection _client;
    private BackendConnector? _connector;
    private BackendLease? _lease;
    private ISocketConnection? _backend;
    private bool _hasBackendEnded;
    private string _reason = "";
    private int _end = Open; // or a ConnectionEnd

    // Written by the relay of each direction, read by the sweep.
    private long _in;
    private long _out;

    // Used by the sweep only.
    private long _seen = -1;
    private long _quietSince;
    private long _queued;

    /// <summary>Takes over a connection.</summary>
    public RelayedConnection(TcpRelayListener listener, RelayTarget target, in AcceptedConnection accepted)
    {
        (_listener, _target) = (listener, target);
        _socket = accepted.Connection;
        _client = _socket;
        (_peer, _source, _destination) = (accepted.Remote, accepted.Remote as IPEndPoint, accepted.Local as IPEndPoint);
    }

    /// <summary>Serves the connection to its end. Does not throw.</summary>
    public async Task ServeAsync()
    {
        try
        {
            // 1. Read the PROXY header of a trusted proxy, and terminate TLS.
            if ((_target.IsProxy(_peer) || _listener.Tls is not null) && !await ShakeHandsAsync())
            {
                TryEnd(ConnectionEnd.Rejected);
                return;
            }

            // 2. Connect to a backend; the system keeps what the client sends meanwhile.
            _socket.Watch();
            // A full barrier, here and below: either Cut sees the connector (or the backend), or this method sees that it was cut.
            Interlocked.Exchange(ref _connector, new BackendConnector(_target, _socket, _listener.Time, _listener.Logger));
            if (Volatile.Read(ref _end) == Open && await _connector.ConnectAsync(_source, _destination) is var (lease, backend))
            {
                _lease = lease;
                Interlocked.Exchange(ref _backend, backend);
            }
            _connector = null;
            if (_backend is null)
            {
                await RefuseAsync();
                return;
            }

            // 3. Relay, until both halves have ended.
            if (Volatile.Read(ref _end) == Open)
            {
                await Task.WhenAll(RelayAsync(isIn: true), RelayAsync(isIn: false));
            }
        }
        finally
        {
            Finish();
        }
    }

    /// <summary>
    /// Called by the sweep, on any thread: cuts the connection if it was idle for too long, or if one of its ends is broken.
    /// </summary>
    public void Inspect(long now)
    {
        if (_connector is { } connector)
        {
            if (_socket.IsBroken && TryEnd(ConnectionEnd.ClientReset))
            {
                connector.GiveUp();
            }
            _seen = -1; // Idle time counts from here: before, nothing could be relayed.
            return;
        }
        var moved = Volatile.Read(ref _in) + Volatile.Read(ref _out);
        if (moved != _seen)
        {
            (_seen, _quietSince, _queued) = (moved, now, -1);
            return;
        }
        if (_queued < 0)
        {
            _queued = Unacknowledged();
        }
        var quiet = _listener.Time.GetElapsedTime(_quietSince, now);
        if (quiet >= ResetTime && (_socket.IsBroken || _backend is { IsBroken: true }))
        {
            _reason = FailureReason.Of(SocketError.ConnectionReset);
            // Its bytes still wait for the other end, so no read has seen the reset.
            Cut(_socket.IsBroken ? ConnectionEnd.ClientReset : ConnectionEnd.BackendReset);
        }
        else if (quiet >= _target.IdleTimeout)
        {
            // A peer that still acknowledges bytes in the system's buffer is slow, not idle.
            var queued = Unacknowledged();
            if (queued < _queued)
            {
                (_quietSince, _queued) = (now, queued);
            }
            else
            {
                Cut(ConnectionEnd.IdleTimeout, isReset: _socket.UnsentBytes > 0 || _backend?.UnsentBytes > 0);
            }
        }
    }

    /// <summary>Ends the connection.</summary>
    /// <param name="end">The reason.</param>
    /// <param name="isReset">Whether both ends must see that data may be missing.</param>
    public void Cut(ConnectionEnd end, bool isReset = true)
    {
        if (!TryEnd(end))
        {
            return;
        }
        _connector?.GiveUp();
        if (isReset)
        {
            _backend?.Reset();
            _socket.Reset();
        }
        _backend?.Dispose();
        _client.Dispose();
    }

    private bool TryEnd(ConnectionEnd end) => Interlocked.CompareExchange(ref _end, (int)end, Open) == Open;

    private int Unacknowledged() => _socket.UnacknowledgedBytes + (_backend?.UnacknowledgedBytes ?? 0);

    private async Task<bool> ShakeHandsAsync()
    {
        await using var deadline = CloseAfter(HandshakeTimeout);
        try
        {
            if (_target.IsProxy(_peer) && !await ReadProxyHeaderAsync())
            {
                return false;
            }
            if (_listener.Tls is { } certificates)
            {
                _client = await TlsServerConnection.OpenAsync(_socket, certificates);
            }
            return true;
        }
        catch (Exception e) when (
            IsEndOfConnection(e) || e is AuthenticationException or InvalidOperationException or NotSupportedException)
        {
            return false; // SslStream throws the last two if a client begins with a TLS alert.
        }
    }

    // Reads no byte beyond the header.
    private async Task<bool> ReadProxyHeaderAsync()
    {
        var buffer = ArrayPool<byte>.Shared.Rent(ProxyHeader.MaxLength);
        try
        {
            var (length, needed) = (0, 0);
            while ((needed = ProxyHeader.Needed(buffer.AsSpan(0, length))) > 0)
            {
                var count = await _socket.ReceiveAsync(buffer.AsMemory(length, needed));
                if (count == 0)
                {
                    return false; // A health check of the proxy.
                }
                length += count;
            }
            if (needed == ProxyHeader.Malformed || !ProxyHeader.TryParse(buffer.AsSpan(0, length), out var header))
            {
                _listener.NoteMalformedHeader(_peer);
                return false;
            }
            if (header.Source is not null)
            {
                (_source, _destination) = (header.Source, header.Destination);
            }
            return true;
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>Sends the message that there is no backend, and makes sure that it arrives.</summary>
    private async Task RefuseAsync()
    {
        if (!TryEnd(ConnectionEnd.Unavailable) || _target.UnavailableMessage is not { } message)
        {
            return;
        }
        await using var deadline = CloseAfter(DrainTime);
        var buffer = ArrayPool<byte>.Shared.Rent(FirstBuffer);
        try
        {
            await _client.SendAsync(message);
            await _client.EndSendingAsync();
            for (var drained = 0; drained < MostDrained;)
            {
                var count = await _client.ReceiveAsync(buffer);
                if (count == 0)
                {
                    break;
                }
                drained += count;
            }
        }
        catch (Exception e) when (IsEndOfConnection(e))
        {
            // The client did not wait for the message.
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    private async Task RelayAsync(bool isIn)
    {
        IConnection backend = _backend!;
        var (from, to) = isIn ? (_client, backend) : (backend, _client);
        var statistics = _lease!.Backend.Connections;
        byte[]? buffer = null;
        var (size, isReceiving) = (FirstBuffer, true);
        try
        {
            while (true)
            {
                isReceiving = true;
                await from.ReceiveAsync(default);
                buffer = ArrayPool<byte>.Shared.Rent(size);
                var count = await from.ReceiveAsync(buffer);
                if (count == 0)
                {
                    _hasBackendEnded |= !isIn;
                    await to.EndSendingAsync();
                    return;
                }
                isReceiving = false;
                await to.SendAsync(buffer.AsMemory(0, count));
                ArrayPool<byte>.Shared.Return(buffer);
                buffer = null;
                size = count == size ? LargeBuffer : count <= FirstBuffer ? FirstBuffer : size;
                if (isIn)
                {
                    Volatile.Write(ref _in, _in + count);
                    statistics.CountIn(count);
                }
                else
                {
                    Volatile.Write(ref _out, _out + count);
                    statistics.CountOut(count);
                }
            }
        }
        catch (Exception e) when (IsEndOfConnection(e))
        {
            await BreakAsync(isClient: isReceiving == isIn, FailureReason.Of(e));
        }
        finally
        {
            if (buffer is not null)
            {
                ArrayPool<byte>.Shared.Return(buffer);
            }
        }
    }

    /// <summary>One side is gone: resets the other one, after the bytes before it were sent.</summary>
    private async Task BreakAsync(bool isClient, string reason)
    {
        // A backend that has ended its half and accepts no more bytes has closed in good order.
        if (!TryEnd(isClient ? ConnectionEnd.ClientReset : _hasBackendEnded ? ConnectionEnd.Completed : ConnectionEnd.BackendReset))
        {
            return;
        }
        _reason = reason;
        var (broken, other) = isClient ? (_socket, _backend!) : (_backend!, _socket);
        for (var waited = TimeSpan.Zero; waited < ResetTime && other.UnsentBytes > 0; waited += ResetPoll)
        {
            await Task.Delay(ResetPoll, _listener.Time);
        }
        other.Reset();
        broken.Reset();
    }

    private void Finish()
    {
        TryEnd(ConnectionEnd.Completed);
        var end = (ConnectionEnd)_end;
        _backend?.Dispose();
        _client.Dispose();
        _lease?.Complete(
            end switch
            {
                ConnectionEnd.Completed => AttemptOutcome.Succeeded,
                // What a client sends may be the cause, and then a client alone could take every backend out of use.
                ConnectionEnd.BackendReset when _in == 0 => AttemptOutcome.Failed,
                _ => AttemptOutcome.Abandoned,
            },
            _reason);
        (_lease?.Backend.Connections ?? _target.Pool.Statistics.Connections).Count(end);
        if (end == ConnectionEnd.BackendReset)
        {
            _listener.LogBackendReset(_target.Pool.Name, _lease!.Backend.Name, _reason);
        }
        _listener.Forget(this);
    }

    private ITimer CloseAfter(TimeSpan time) =>
        _listener.Time.CreateTimer(static socket => ((ISocketConnection)socket!).Dispose(), _socket, time, Timeout.InfiniteTimeSpan);

    // A broken TLS stream throws an IOException.
    private static bool IsEndOfConnection(Exception e) => e is SocketException or ObjectDisposedException or IOException;
}
