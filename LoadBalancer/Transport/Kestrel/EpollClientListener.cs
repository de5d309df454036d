using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Runtime.Versioning;
using System.Threading.Channels;
using LoadBalancer.Diagnostics;
using Microsoft.AspNetCore.Connections;

namespace LoadBalancer.Transport.Kestrel;

/// <summary>
/// Hands clients to Kestrel: new ones, spread over the event loops in turn, and parked ones on which a request begins. Sweeps all
/// sockets once a second.
/// </summary>
[SupportedOSPlatform("linux")]
internal sealed class EpollClientListener : IConnectionListener
{
    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan LingeringPoll = TimeSpan.FromMilliseconds(10);

    private readonly KestrelTransportOptions _options;
    private readonly ConnectionLimit _limit;
    private readonly TimeProvider _time;
    private readonly Channel<ClientSocket> _arrived = Channel.CreateUnbounded<ClientSocket>(new() { AllowSynchronousContinuations = true });
    private readonly EpollAcceptLoop _acceptLoop;
    private readonly ITimer _sweep;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _stopping = new();
    private readonly ConcurrentDictionary<Task, bool> _preparing = new();
    private int _isSweeping;

    /// <summary>Takes over a bound socket and listens on it.</summary>
    /// <exception cref="SocketException">It cannot listen.</exception>
    public EpollClientListener(ListenSocket bound, KestrelTransportOptions options, TimeProvider time, ILoggerFactory loggers)
    {
        (_options, _time, _logger) = (options, time, loggers.CreateLogger<EpollClientListener>());
        _limit = options.Limit ?? new ConnectionLimit(options.Listener, null, time, _logger);
        _acceptLoop = EpollAcceptLoop.Start(
            bound, options.Listener, _limit,
            (file, local, remote) => OnAccepted(new ClientSocket(file, EventLoop.Next(), this, local, remote)), time, _logger);
        _sweep = time.CreateTimer(static listener => ((EpollClientListener)listener!).Sweep(), this, SweepInterval, SweepInterval);
    }

    /// <inheritdoc/>
    public EndPoint EndPoint => _acceptLoop.Address;

    /// <summary>Whether it does not listen any more.</summary>
    public bool IsDisposed => _acceptLoop.IsDisposed;

    /// <summary>Whether nobody sweeps its sockets any more.</summary>
    public bool IsClosed { get => Volatile.Read(ref field); private set => Volatile.Write(ref field, value); }

    /// <inheritdoc/>
    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
    {
        while (await _arrived.Reader.WaitToReadAsync(cancellationToken))
        {
            if (_arrived.Reader.TryRead(out var socket))
            {
                return socket.Connect();
            }
        }
        return null;
    }

    /// <summary>Accepts nothing more. What was accepted goes on, and what is parked may still begin a request.</summary>
    public void StopAccepting() => _acceptLoop.Dispose();

    /// <summary>Kestrel gets a connection for a socket: it is new, or was parked and a request begins on it.</summary>
    public void Deliver(ClientSocket socket)
    {
        if (!_arrived.Writer.TryWrite(socket))
        {
            socket.Finish(); // The listener was closed.
        }
    }

    /// <summary>A client's socket is closed.</summary>
    public void OnReleased() => _limit.Leave();

    /// <inheritdoc/>
    public async ValueTask UnbindAsync(CancellationToken cancellationToken = default)
    {
        _acceptLoop.Dispose();
        await _stopping.CancelAsync();
        await Task.WhenAll(_preparing.Keys).WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _arrived.Writer.TryComplete();
        while (_arrived.Reader.TryRead(out var socket))
        {
            socket.Finish();
        }
        foreach (var socket in Clients())
        {
            socket.CloseParked();
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await UnbindAsync();
        await LingerAsync();
        await _sweep.DisposeAsync();
        IsClosed = true;
        foreach (var socket in Clients())
        {
            socket.EndLingering();
        }
    }

    // By the system's clock, because it waits for the network: that of a test may stand still.
    private async Task LingerAsync()
    {
        var start = TimeProvider.System.GetTimestamp();
        while (Clients().Any(socket => socket.IsLingering)
            && TimeProvider.System.GetElapsedTime(start) < KestrelTransportOptions.LastLingering)
        {
            await Task.Delay(LingeringPoll, TimeProvider.System);
        }
    }

    private void OnAccepted(ClientSocket socket)
    {
        if (_options.Prepare is null)
        {
            Deliver(socket);
            return;
        }
        var preparing = PrepareAsync(socket);
        if (!preparing.IsCompleted)
        {
            _preparing[preparing] = true;
            BackgroundTask.Run(ForgetAsync(preparing), _logger, $"listener '{_options.Listener}': preparing a connection");
        }
    }

    private async Task PrepareAsync(ClientSocket socket)
    {
        var connection = socket.Connect();
        connection.Features.Get<RequestBoundary>()!.IsReached = false; // One that is parked now would not be prepared later.
        if (await _options.Prepare!(connection, _stopping.Token))
        {
            Deliver(socket);
        }
        else
        {
            await connection.DisposeAsync();
        }
    }

    private async Task ForgetAsync(Task preparing)
    {
        try
        {
            await preparing;
        }
        finally
        {
            _preparing.TryRemove(preparing, out _);
        }
    }

    private IEnumerable<ClientSocket> Clients() => EventLoop.Sockets.OfType<ClientSocket>().Where(socket => socket.Listener == this);

    private void Sweep()
    {
        if (Interlocked.Exchange(ref _isSweeping, 1) != 0)
        {
            return; // The last sweep is still running.
        }
        var now = _time.GetTimestamp();
        var parked = Clients().Count(socket => socket.Inspect(now, _options, _time));
        FreedMemory.OfProcess.Count((long)parked * FreedMemory.OfParkedConnection, _time);
        Volatile.Write(ref _isSweeping, 0);
    }
}
