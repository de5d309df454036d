using System.Net;
using System.Net.Sockets;
using System.Runtime.Versioning;
using Microsoft.AspNetCore.Connections;

namespace LoadBalancer.Transport.Kestrel;

/// <summary>
/// A client's socket: passes events on to the <see cref="ClientConnection"/> that waits for them. Between requests it may be
/// parked without one until the next request begins, because Kestrel keeps many times as much memory for a connection.
/// </summary>
[SupportedOSPlatform("linux")]
internal sealed class ClientSocket(int file, EventLoop loop, EpollClientListener listener, EndPoint? local, EndPoint? remote)
    : EpollSocket(file, loop)
{
    private static readonly byte[] Unwanted = new byte[64 * 1024]; // Nobody reads it, so all threads may write to it.

    private ClientConnection? _connection; // null while it is parked or lingers
    private ConnectionAbortedException? _abortReason;
    private long _quietSince;
    private volatile bool _isLingering;
    private volatile bool _hasHeard; // since the last sweep
    private long? _lingersSince;
    private long _heardAt;

    /// <summary>Whether it waits for the next request without a connection.</summary>
    public bool IsParked => Volatile.Read(ref _connection) is null && !_isLingering;

    /// <summary>Whether it waits for the client's end, after its own.</summary>
    public bool IsLingering => _isLingering && !IsClosed;

    /// <summary>The listener that accepted it.</summary>
    public EpollClientListener Listener => listener;

    /// <summary>Its own address.</summary>
    public EndPoint? Local => local;

    /// <summary>The client's, or what its connections are told instead.</summary>
    public EndPoint? Remote { get; private set; } = remote;

    /// <summary>Why it was aborted, if it was.</summary>
    public ConnectionAbortedException? AbortReason => Volatile.Read(ref _abortReason);

    /// <summary>Makes a connection of it for Kestrel; the same one until it is parked.</summary>
    public ClientConnection Connect()
    {
        if (Volatile.Read(ref _connection) is { } prepared)
        {
            return prepared;
        }
        var connection = new ClientConnection(this);
        Volatile.Write(ref _connection, connection);
        return connection;
    }

    /// <summary>Resets the connection; the first reason given stands.</summary>
    public void Abort(ConnectionAbortedException reason)
    {
        Interlocked.CompareExchange(ref _abortReason, reason, null);
        Reset();
    }

    /// <summary>Ends it in good order.</summary>
    public void Finish()
    {
        Shutdown();
        Dispose();
    }

    /// <summary>
    /// Ends it in stages (RFC 9112 section 9.6), because the client may still be sending: what arrives is thrown away until the client
    /// has ended too. To close at once would reset the connection, and a client that writes then never sees the response.
    /// </summary>
    public void FinishInStages()
    {
        _isLingering = true;
        EndSending();
        Volatile.Write(ref _connection, null);
        if (listener.IsClosed)
        {
            Finish();
            return;
        }
        Discard();
    }

    /// <summary>Closes it if it lingers.</summary>
    public void EndLingering()
    {
        if (_isLingering)
        {
            Finish();
        }
    }

    /// <summary>Parks it: it has no connection from now on.</summary>
    /// <param name="quietSince">When the last request ended.</param>
    /// <param name="remote">The client's address as the connection had it.</param>
    public void Park(long quietSince, EndPoint? remote)
    {
        (_quietSince, Remote) = (quietSince, remote);
        Volatile.Write(ref _connection, null);
        AwaitRequest();
        if (listener.IsDisposed)
        {
            CloseParked();
        }
    }

    /// <summary>Closes it if it is parked.</summary>
    public void CloseParked()
    {
        if (IsParked && TryUnawaitReadable())
        {
            if (IsParked)
            {
                Finish();
            }
            else
            {
                AwaitAgain();
            }
        }
    }

    /// <summary>Called by the sweep, on any thread: resets it after its time-out, or parks it if it is idle.</summary>
    /// <returns>Whether it was parked.</returns>
    public bool Inspect(long now, KestrelTransportOptions options, TimeProvider time)
    {
        if (_isLingering)
        {
            InspectLingering(now, time);
            return false;
        }
        if (Volatile.Read(ref _connection) is not { } connection)
        {
            if (time.GetElapsedTime(_quietSince, now) >= options.ParkedTimeout?.Invoke())
            {
                CloseParked();
            }
            return false;
        }
        if (connection.StalledSince(now) is { } stalled && time.GetElapsedTime(stalled, now) >= options.SendTimeout())
        {
            connection.Abort(new ConnectionAbortedException("the client does not take what is sent to it"));
        }
        if (options.ParkedTimeout is null || connection.QuietSince(now) is not { } quiet
            || time.GetElapsedTime(quiet, now) < options.ParkAfter || listener.IsDisposed || !TryUnawaitReadable())
        {
            return false;
        }
        if (Volatile.Read(ref _connection) == connection && connection.TryEnd())
        {
            return true;
        }
        AwaitAgain();
        return false;
    }

    /// <inheritdoc/>
    protected override void OnReadable()
    {
        if (Volatile.Read(ref _connection) is { } connection)
        {
            connection.Reader.OnReadable();
        }
        else if (_isLingering)
        {
            Discard();
        }
        else
        {
            AwaitRequest();
        }
    }

    /// <inheritdoc/>
    protected override void OnWritable() => Volatile.Read(ref _connection)?.Writer.OnWritable();

    /// <inheritdoc/>
    protected override void OnHangUp(bool isBroken) => Volatile.Read(ref _connection)?.OnHangUp(isBroken);

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        listener.OnReleased();
        return base.ReleaseHandle();
    }

    private void AwaitAgain()
    {
        if (Volatile.Read(ref _connection) is { } connection)
        {
            connection.Reader.Await();
        }
        else
        {
            OnReadable();
        }
    }

    // Reads until nothing is there, and then waits for more; closes it at the client's end.
    private void Discard()
    {
        do
        {
            if (HasUsedItsReadBudget)
            {
                Yield();
                return;
            }
            try
            {
                var count = Receive(Unwanted);
                _hasHeard |= count > 0;
                if (count != 0)
                {
                    continue;
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // A broken connection counts as ended.
            }
            Dispose();
            return;
        }
        while (!TryAwaitReadable());
    }

    private void InspectLingering(long now, TimeProvider time)
    {
        if (_hasHeard || _lingersSince is null)
        {
            (_hasHeard, _heardAt) = (false, now);
        }
        _lingersSince ??= now;
        if (time.GetElapsedTime(_heardAt, now) >= KestrelTransportOptions.MostSilence
            || time.GetElapsedTime(_lingersSince.Value, now) >= KestrelTransportOptions.MostLingering)
        {
            Reset(); // An event ends the wait.
        }
    }

    // While it is parked. Only bytes that are, or may become, a request are worth a connection.
    private void AwaitRequest()
    {
        Span<byte> first = stackalloc byte[1];
        while (!TryAwaitReadable())
        {
            try
            {
                var count = Receive(first, Libc.Peek);
                if (count == WouldBlock)
                {
                    continue;
                }
                if (count > 0)
                {
                    listener.Deliver(this);
                    return;
                }
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                // A broken connection counts as ended.
            }
            Finish();
            return;
        }
    }
}
