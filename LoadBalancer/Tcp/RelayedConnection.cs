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
/// One connection of a client, relayed to a backend: bytes pass unchanged, the end of a half is the end of that half on the other side,
/// a reset is a reset there. The steps are those of <see cref="ServeAsync"/>, top to bottom.
/// </summary>
internal sealed partial class RelayedConnection
{
    // No memory is held while nothing is there to read; much of it only where much is.
    private const int FirstBuffer = 16 * 1024;
    private const int LargeBuffer = 64 * 1024;

    // What a client may still send, and for how long, after it was told that there is no backend. Closing at once would reset the
    // connection where anything has come that nobody read, and a reset may overtake the message.
    private const int MostDrained = 1024 * 1024;
    private static readonly TimeSpan DrainTime = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan HandshakeTimeout = TimeSpan.FromSeconds(10);

    // How long what was sent before a reset may take to go out, before the reset follows it.
    private static readonly TimeSpan ResetTime = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan ResetPoll = TimeSpan.FromMilliseconds(50);

    private const int Open = -1;

    private readonly TcpRelayListener _listener;
    private readonly RelayTarget _target;
    private readonly ISocketConnection _socket; // the client's, beneath TLS
    private readonly IPEndPoint _peer;
    private IPEndPoint? _source;
    private IPEndPoint? _destination;
    private IConnection _client;
    private BackendConnector? _connector;
    private BackendLease? _lease;
    private ISocketConnection? _backend;
    private bool _hasBackendEnded;
    private string _reason = "";
    private int _end = Open; // or a ConnectionEnd

    // Written by the one who relays that way, read by the sweep.
    private long _in;
    private long _out;

    // The sweep's.
    private long _seen = -1;
    private long _quietSince;
    private long _queued;

    /// <summary>Takes over a connection.</summary>
    public RelayedConnection(TcpRelayListener listener, RelayTarget target, in AcceptedConnection accepted)
    {
        (_listener, _target) = (listener, target);
        _socket = accepted.Connection;
        _client = _socket;
        (_peer, _source, _destination) = (accepted.Remote, accepted.Remote, accepted.Local);
    }

    /// <summary>Serves the connection to its end. Throws nothing.</summary>
    public async Task ServeAsync()
    {
        try
        {
            // 1. Learn who the client is, where a proxy says so, and end its TLS.
            if ((_target.IsProxy(_peer.Address) || _listener.Certificates is not null) && !await ShakeHandsAsync())
            {
                TryEnd(ConnectionEnd.Rejected);
                return;
            }

            // 2. Connect to a backend; the system keeps what the client sends meanwhile.
            _socket.Watch();
            // A full barrier, here and below: whatever cuts the connection sees the connector (or the backend), or we see that it is cut.
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
    /// A look at it now and then, on no particular thread: whether nothing has moved for too long, or there is nobody to move it.
    /// </summary>
    public void Inspect(long now)
    {
        if (_connector is { } connector)
        {
            if (_socket.IsBroken && TryEnd(ConnectionEnd.ClientReset))
            {
                connector.GiveUp();
            }
            _seen = -1; // Quiet is what follows: before, nothing could move.
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
            Cut(_socket.IsBroken ? ConnectionEnd.ClientReset : ConnectionEnd.BackendReset); // Its other end does not take what it has sent.
        }
        else if (quiet >= _target.IdleTimeout)
        {
            // Who takes what waits for it in the system's memory is slow, but moves.
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

    /// <summary>Ends it.</summary>
    /// <param name="end">Why.</param>
    /// <param name="isReset">Whether its ends must see that they may not have got everything.</param>
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
            if (_target.IsProxy(_peer.Address) && !await ReadProxyHeaderAsync())
            {
                return false;
            }
            if (_listener.Certificates is { } certificates)
            {
                _client = await TlsServerConnection.OpenAsync(_socket, certificates);
            }
            return true;
        }
        catch (Exception e) when (
            IsEndOfConnection(e) || e is AuthenticationException or InvalidOperationException or NotSupportedException)
        {
            return false; // The last two where a client begins TLS with an alert.
        }
    }

    // Takes no byte more than the header's.
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
                    return false; // A proxy that only looks whether we are there.
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

    /// <summary>Says that there is no backend, in such a way that it arrives.</summary>
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
            // It did not wait for it.
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

    /// <summary>One side is gone: the other must see that, after what was sent before.</summary>
    private async Task BreakAsync(bool isClient, string reason)
    {
        // A backend that has ended its half and then takes nothing more has simply closed.
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
                ConnectionEnd.BackendReset => AttemptOutcome.Failed,
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

    // Where TLS is broken, it is an IOException.
    private static bool IsEndOfConnection(Exception e) => e is SocketException or ObjectDisposedException or IOException;
}
