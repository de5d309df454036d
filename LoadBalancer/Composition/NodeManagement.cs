using System.Net.Sockets;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Management;
using LoadBalancer.Net;
using LoadBalancer.Transport;

namespace LoadBalancer.Composition;

/// <summary>The management listener of a node, which comes, goes and changes with its configuration.</summary>
/// <param name="events">What it shows; runs as soon as there is a listener.</param>
/// <param name="audit">Remembers changes, in a file where the options name one.</param>
/// <param name="endpoints">Makes what answers its requests.</param>
/// <param name="sockets">Binds its address.</param>
/// <param name="time">The clock.</param>
/// <param name="loggers">Make its loggers.</param>
internal sealed partial class NodeManagement(
    EventHub events, AuditLog audit, Func<ManagementGuard, RequestDelegate> endpoints, ListenSockets sockets, TimeProvider time,
    ILoggerFactory loggers) : IHostedService, IDisposable
{
    private readonly ILogger _logger = loggers.CreateLogger<NodeManagement>();
    private readonly WrongTokens _wrongTokens = new(time, loggers.CreateLogger<WrongTokens>());
    private volatile ManagementListener? _listener;
    private ManagementOptions? _options;
    private bool _isRunning;
    private bool _hasEvents;

    /// <summary>The listener; null where there is none.</summary>
    public ManagementListener? Listener => _listener;

    /// <summary>How many wrong tokens came, and how often one paused its sender; null where there is no listener.</summary>
    public (long Wrong, long Paused)? WrongTokens => _listener is null ? null : (_wrongTokens.Wrong, _wrongTokens.Paused);

    /// <summary>Makes the listener for other options, and reserves its address. Changes nothing yet.</summary>
    /// <returns>What puts it in place of the present one; null where the options are the same.</returns>
    /// <exception cref="StartException">A file cannot be used, or the address cannot be had; nothing is left open.</exception>
    public ManagementChange? Prepare(ManagementOptions? wanted)
    {
        if (Equals(wanted, _options))
        {
            return null;
        }
        if (wanted is null)
        {
            return new ManagementChange(null, null);
        }
        try
        {
            if (_isRunning)
            {
                sockets.Reserve(wanted.Address, mode: UnixSocketMode.Parse(wanted.SocketMode ?? ManagementListener.DefaultMode));
            }
        }
        catch (SocketException e)
        {
            throw new StartException($"management: cannot listen on {wanted.Address}: {ListenAddress.WhyNot(e)}", e);
        }
        var tokens = new ManagementTokens(wanted, time, loggers.CreateLogger<ManagementToken>());
        try
        {
            var guard = new ManagementGuard(wanted, tokens, _wrongTokens);
            return new ManagementChange(wanted, new ManagementListener(wanted, endpoints(guard), tokens, sockets, time, loggers));
        }
        catch
        {
            tokens.Dispose();
            throw;
        }
    }

    /// <summary>Uses the prepared listener, which is the first one, from the start on.</summary>
    public void Adopt(ManagementChange change)
    {
        audit.Use(change.Options?.AuditFile);
        (_listener, _options) = (change.Listener, change.Options);
    }

    /// <summary>Puts the prepared listener in place of the present one, which ends in the background: it may still be answering.</summary>
    public async Task SwitchAsync(ManagementChange change)
    {
        var old = _listener;
        old?.Leave();
        Adopt(change);
        if (_isRunning && change.Listener is { } listener)
        {
            try
            {
                await StartEventsAsync();
                await listener.StartAsync(CancellationToken.None);
            }
            catch (StartException e)
            {
                LogNotStarted(e.Message);
            }
        }
        if (old is not null)
        {
            BackgroundTask.Run(EndAsync(old), _logger, "management: ending the former listener");
        }
    }

    /// <inheritdoc/>
    /// <exception cref="StartException">It cannot listen.</exception>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        _isRunning = true;
        if (_listener is { } listener)
        {
            await StartEventsAsync();
            await listener.StartAsync(cancellationToken);
        }
    }

    /// <inheritdoc/>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        _isRunning = false;
        if (_listener is { } listener)
        {
            await listener.StopAsync(cancellationToken);
        }
        if (_hasEvents)
        {
            await events.StopAsync(cancellationToken);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _listener?.Dispose();

    private async Task StartEventsAsync()
    {
        if (!_hasEvents)
        {
            _hasEvents = true;
            await events.StartAsync(CancellationToken.None);
        }
    }

    private async Task EndAsync(ManagementListener old)
    {
        if (_isRunning)
        {
            await old.StopAsync(CancellationToken.None);
        }
        old.Dispose();
    }

    [LoggerMessage(175, LogLevel.Error, "{Reason}; the rest of the configuration was applied")]
    private partial void LogNotStarted(string reason);
}

/// <summary>What puts another management listener in place of the present one.</summary>
/// <param name="Options">Its options; null where there is none.</param>
/// <param name="Listener">The listener; null where there is none.</param>
internal sealed record ManagementChange(ManagementOptions? Options, ManagementListener? Listener);
