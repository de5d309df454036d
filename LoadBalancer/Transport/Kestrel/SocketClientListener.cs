using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using LoadBalancer.Diagnostics;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;

namespace LoadBalancer.Transport.Kestrel;

/// <summary>
/// Hands clients to Kestrel on sockets of the framework, through Kestrel's own transport for one connection. It adds a send
/// time-out: a client that takes none of the waiting bytes is reset (<see cref="SocketClient"/>). Connections are not parked here.
/// </summary>
internal sealed class SocketClientListener : IConnectionListener
{
    private static readonly TimeSpan SweepInterval = TimeSpan.FromSeconds(1);

    private readonly KestrelTransportOptions _options;
    private readonly ConnectionLimit _limit;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly SocketConnectionContextFactory _contexts;
    private readonly Channel<SocketClient> _arrived = Channel.CreateUnbounded<SocketClient>(new() { AllowSynchronousContinuations = true });
    private readonly ConcurrentDictionary<SocketClient, bool> _clients = new();
    private readonly SocketAcceptLoop _acceptLoop;
    private readonly ITimer _sweep;
    private readonly CancellationTokenSource _stopping = new();

    /// <summary>Takes over a bound socket and listens on it.</summary>
    /// <exception cref="SocketException">It cannot listen.</exception>
    public SocketClientListener(ListenSocket bound, KestrelTransportOptions options, TimeProvider time, ILoggerFactory loggers)
    {
        (_options, _time) = (options, time);
        _logger = loggers.CreateLogger<SocketClientListener>();
        // A flush is over when the system has taken all bytes, as on event loops. Otherwise a client that takes nothing is not noticed.
        _contexts = new(new() { UnsafePreferInlineScheduling = true, MaxWriteBufferSize = 1 }, _logger);
        _limit = options.Limit ?? new ConnectionLimit(options.Listener, null, time, _logger);
        _acceptLoop = SocketAcceptLoop.Start(bound, options.Listener, _limit, (socket, _, _) => Deliver(socket), time, _logger);
        EndPoint = bound.Address;
        _sweep = time.CreateTimer(static listener => ((SocketClientListener)listener!).Sweep(), this, SweepInterval, SweepInterval);
    }

    /// <inheritdoc/>
    public EndPoint EndPoint { get; }

    /// <inheritdoc/>
    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
    {
        while (await _arrived.Reader.WaitToReadAsync(cancellationToken))
        {
            if (_arrived.Reader.TryRead(out var client))
            {
                return client;
            }
        }
        return null;
    }

    /// <summary>Accepts nothing more. What was accepted goes on.</summary>
    public void StopAccepting() => _acceptLoop.Dispose();

    /// <inheritdoc/>
    public async ValueTask UnbindAsync(CancellationToken cancellationToken = default)
    {
        _acceptLoop.Dispose();
        await _stopping.CancelAsync();
        _arrived.Writer.TryComplete();
        while (_arrived.Reader.TryRead(out var client))
        {
            await client.DisposeAsync();
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await UnbindAsync();
        await _sweep.DisposeAsync();
        _contexts.Dispose();
    }

    private void Deliver(Socket socket)
    {
        var client = new SocketClient(_contexts.Create(socket), socket, _time, OnClosed, _stopping.Token);
        _clients.TryAdd(client, true);
        if (!_arrived.Writer.TryWrite(client))
        {
            client.Abort(new ConnectionAbortedException("it does not listen any more"));
            BackgroundTask.Run(client.DisposeAsync().AsTask(), _logger, "closing a connection");
        }
    }

    private void OnClosed(SocketClient client)
    {
        if (_clients.TryRemove(client, out _))
        {
            _limit.Leave();
        }
    }

    private void Sweep()
    {
        var now = _time.GetTimestamp();
        foreach (var (client, _) in _clients)
        {
            client.Inspect(_time, now, _options.SendTimeout());
        }
    }
}
