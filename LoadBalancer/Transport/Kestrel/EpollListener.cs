using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Runtime.Versioning;
using Microsoft.AspNetCore.Connections;

namespace LoadBalancer.Transport.Kestrel;

/// <summary>Hands accepted connections to Kestrel, dealt out to the event loops in turn; and keeps an eye on them.</summary>
[SupportedOSPlatform("linux")]
internal sealed class EpollListener : IConnectionListener
{
    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(1);

    private readonly EpollOptions _options;
    private readonly TimeProvider _time;
    private readonly ListenSocket _socket;
    private readonly Readiness _arrival = new();
    private readonly ConcurrentQueue<ClientSocket> _resumed = new();
    private readonly ITimer _sweep;
    private int _isSweeping;

    /// <summary>Begins to listen on a bound socket.</summary>
    /// <exception cref="SocketException">It cannot listen.</exception>
    public EpollListener(Socket bound, EpollOptions options, TimeProvider time, ILogger<EpollListener> logger)
    {
        (_options, _time) = (options, time);
        _socket = ListenSocket.Open(bound, options.Backlog, options.Listener, options.Limit, _arrival.Set, time, logger);
        _sweep = time.CreateTimer(static listener => ((EpollListener)listener!).Sweep(), this, SweepInterval, SweepInterval);
    }

    /// <inheritdoc/>
    public EndPoint EndPoint => _socket.Address;

    /// <summary>Whether it does not listen any more.</summary>
    public bool IsDisposed => _socket.IsDisposed;

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
                await _arrival.WaitAsync(_socket.TryAwaitArrival);
                if (_resumed.IsEmpty && _socket.TryAccept() is var (file, local, remote))
                {
                    return new ClientSocket(file, EventLoop.Next(), this, local, remote).Connect();
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
        _socket.GoOn();
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
        _socket.Dispose();
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
}
