using System.Collections.Concurrent;
using System.Net;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using LoadBalancer.Listeners;
using LoadBalancer.Sockets;
using Microsoft.AspNetCore.Connections;

namespace LoadBalancer.Http.Epoll;

/// <summary>Accepts connections and deals them out to the event loops in turn; and keeps an eye on them.</summary>
[SupportedOSPlatform("linux")]
internal sealed partial class EpollListener : EpollSocket, IConnectionListener
{
    private const int AddressSize = 28; // struct sockaddr_in6

    // Where there is no file left, or no memory, somebody must free some first.
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(1);

    private readonly IPEndPoint _address;
    private readonly EpollOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger<EpollListener> _logger;
    private readonly LogGate _gate;
    private readonly Readiness _arrival = new();
    private readonly ConcurrentQueue<ClientSocket> _resumed = new();
    private readonly ITimer _retry;
    private readonly ITimer _sweep;
    private int _isSweeping;
    private bool _isShortOfFiles;

    /// <summary>Takes over the file, which listens.</summary>
    public EpollListener(int file, IPEndPoint address, EpollOptions options, TimeProvider time, ILogger<EpollListener> logger)
        : base(file, EventLoop.Next())
    {
        (_address, _options, _time, _logger) = (address, options, time, logger);
        _gate = new LogGate(time);
        _retry = time.CreateTimer(static listener => ((EpollListener)listener!).GoOn(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _sweep = time.CreateTimer(static listener => ((EpollListener)listener!).Sweep(), this, SweepInterval, SweepInterval);
    }

    /// <inheritdoc/>
    public EndPoint EndPoint => _address;

    /// <inheritdoc/>
    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
    {
        try
        {
            while (true)
            {
                if (_resumed.TryDequeue(out var resumed))
                {
                    return resumed.Connect();
                }
                await _arrival.WaitAsync(TryAwaitArrival);
                if (_resumed.IsEmpty && TryAccept() is { } accepted)
                {
                    return accepted.Connect();
                }
            }
        }
        catch (ObjectDisposedException)
        {
            return null;
        }
    }

    /// <summary>A request begins on a parked socket; Kestrel will get a connection for it.</summary>
    public void Resume(ClientSocket socket)
    {
        _resumed.Enqueue(socket);
        GoOn();
        if (IsDisposed)
        {
            CloseResumed();
        }
    }

    /// <summary>A client's socket is closed.</summary>
    public void OnReleased() => _options.Limit?.Leave();

    /// <inheritdoc/>
    public ValueTask UnbindAsync(CancellationToken cancellationToken = default)
    {
        Dispose();
        _retry.Dispose();
        GoOn();
        CloseResumed();
        foreach (var socket in Clients())
        {
            socket.CloseParked();
        }
        return ValueTask.CompletedTask;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await UnbindAsync();
        await _sweep.DisposeAsync();
    }

    /// <inheritdoc/>
    protected override void OnReadable() => _arrival.Set();

    /// <inheritdoc/>
    protected override void OnWritable()
    {
    }

    private bool TryAwaitArrival()
    {
        if (!IsTurnOver)
        {
            return TryAwaitReadable();
        }
        Yield();
        return true;
    }

    private unsafe ClientSocket? TryAccept()
    {
        ObjectDisposedException.ThrowIf(IsDisposed, this);
        if (!TryBeginReading())
        {
            return null;
        }
        if (_isShortOfFiles && IsShortOfFiles())
        {
            TryAgainLater(Libc.TooManyFiles);
            return null;
        }
        var remote = new SocketAddress(_address.AddressFamily, AddressSize);
        var length = remote.Size;
        int accepted;
        fixed (byte* name = remote.Buffer.Span)
        {
            accepted = Libc.Accept(this, name, &length, Libc.NonBlocking | Libc.CloseOnExec);
        }
        var error = accepted >= 0 ? 0 : Marshal.GetLastPInvokeError();
        if (error == Libc.Again)
        {
            return null;
        }
        if (error is not (0 or Libc.ConnectionAborted))
        {
            TryAgainLater(error);
            return null;
        }
        ReadOn();
        _isShortOfFiles = accepted >= FileReserve.ClientsEnd;
        EventLoop.Current?.Spend(0);
        if (error != 0)
        {
            return null;
        }
        if (_options.Limit?.TryEnter() == false)
        {
            _ = Libc.Close(accepted);
            return null;
        }
        remote.Size = length;
        return new ClientSocket(accepted, EventLoop.Next(), this, LocalAddress(accepted), _address.Create(remote));
    }

    private unsafe EndPoint LocalAddress(int accepted)
    {
        if (!_address.Address.Equals(IPAddress.Any) && !_address.Address.Equals(IPAddress.IPv6Any))
        {
            return _address;
        }
        var local = new SocketAddress(_address.AddressFamily, AddressSize);
        var length = local.Size;
        fixed (byte* name = local.Buffer.Span)
        {
            _ = Libc.LocalName(accepted, name, &length); // It is bound, and the room is enough.
        }
        local.Size = length;
        return _address.Create(local);
    }

    private bool IsShortOfFiles()
    {
        var next = Libc.Control(this, Libc.Duplicate, 0);
        _ = Libc.Close(next);
        return next < 0 || next >= FileReserve.ClientsEnd;
    }

    // There is no event when a file becomes free.
    private void TryAgainLater(int error)
    {
        _retry.Change(Patience, Timeout.InfiniteTimeSpan);
        if (!_gate.TryPass())
        {
            return;
        }
        if (error is Libc.TooManyFiles or Libc.TooManyFilesInSystem)
        {
            LogOutOfFiles(_options.Listener);
        }
        else
        {
            LogOutOfMemory(_options.Listener, error);
        }
    }

    private void CloseResumed()
    {
        while (_resumed.TryDequeue(out var socket))
        {
            socket.Finish();
        }
    }

    private IEnumerable<ClientSocket> Clients() => EventLoop.Sockets.OfType<ClientSocket>().Where(socket => socket.Listener == this);

    private void Sweep()
    {
        if (Interlocked.Exchange(ref _isSweeping, 1) != 0)
        {
            return; // It takes longer than the interval.
        }
        var now = _time.GetTimestamp();
        var parked = Clients().Count(socket => socket.Inspect(now, _options, _time));
        ParkedMemory.Count(parked);
        Volatile.Write(ref _isSweeping, 0);
    }

    [LoggerMessage(43, LogLevel.Warning, "listener '{Listener}': connections wait to be accepted, for no more files can be opened; raise the limit (ulimit -n)")]
    private partial void LogOutOfFiles(string listener);

    [LoggerMessage(44, LogLevel.Warning, "listener '{Listener}': connections wait to be accepted, for the system is short of memory (error {Error})")]
    private partial void LogOutOfMemory(string listener, int error);
}
