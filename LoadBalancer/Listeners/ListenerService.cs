using System.Collections.Concurrent;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Listeners;

/// <summary>Starts the listeners of a node, replaces some while it runs, and stops them together; says what a stop waits for.</summary>
/// <param name="listeners">The listeners as they are now, in the order of the configuration.</param>
/// <param name="started">Called when all of them listen.</param>
/// <param name="ended">Called with each that has ended because others have taken its place, or none.</param>
/// <param name="inFlight">What a listener has in flight, in words; null where that is nothing.</param>
/// <param name="longestStop">How long a stop may take.</param>
/// <param name="time">The clock.</param>
/// <param name="logger">Gets the addresses, and the progress of stops.</param>
public sealed partial class ListenerService(
    Func<IReadOnlyList<IListener>> listeners, Action started, Action<IListener> ended, Func<IListener, string?> inFlight,
    Func<TimeSpan> longestStop, TimeProvider time, ILogger<ListenerService> logger) : IHostedService, IDisposable
{
    /// <summary>
    /// How long connections stay open after <see cref="IListener.Leave"/>: a client may have sent a request before it learned that its
    /// connection ends.
    /// </summary>
    public static readonly TimeSpan LastRequests = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan ReportInterval = TimeSpan.FromSeconds(5);

    private readonly ConcurrentDictionary<IListener, Task> _leaving = new();
    private readonly ConcurrentDictionary<IListener, bool> _waiting = new(); // they start when others have ended
    private readonly CancellationTokenSource _cut = new(); // the stop of the node waits no longer
    private volatile Task _turns = Task.CompletedTask;
    private volatile bool _isRunning;
    private volatile bool _hasBegun; // the start of the listeners

    /// <summary>Whether they were started, and not yet stopped.</summary>
    public bool IsRunning => _isRunning;

    /// <summary>Completes when no listener waits for the end of another one to start.</summary>
    public Task Turns => _turns;

    /// <inheritdoc/>
    /// <exception cref="StartException">One of them cannot listen; none is left listening.</exception>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        _hasBegun = true;
        foreach (var listener in listeners())
        {
            await listener.StartAsync(cancellationToken);
        }
        _isRunning = true;
        started();
        foreach (var listener in listeners())
        {
            LogListening(listener.Name, listener.Address);
        }
    }

    /// <summary>
    /// Replaces listeners. Returns when those that come accept connections, except where they must wait for the end of others. Those that
    /// go finish what they have in flight in the background, as in a stop. Before the start nothing is in flight, and those that come
    /// start with all others.
    /// </summary>
    /// <param name="gone">The listeners that go.</param>
    /// <param name="come">The listeners that come.</param>
    public async Task SwitchAsync(IReadOnlyList<IListener> gone, IReadOnlyList<ListenerArrival> come)
    {
        if (!_hasBegun)
        {
            gone.ToList().ForEach(ended);
            return;
        }
        foreach (var old in gone)
        {
            old.Leave();
        }
        var later = come.Where(arrival => arrival.After.Count > 0).ToList();
        later.ForEach(arrival => _waiting[arrival.Listener] = true);
        foreach (var arrival in come.Except(later))
        {
            await StartAsync(arrival.Listener);
        }
        foreach (var old in gone)
        {
            var end = EndAsync(old, later.Exists(arrival => arrival.After.Contains(old)) ? TimeSpan.Zero : LastRequests);
            _leaving[old] = end;
            BackgroundTask.Run(ForgetAsync(old, end), logger, $"listener '{old.Name}': ending");
        }
        _turns = Task.WhenAll(later.Select(StartInTurnAsync));
    }

    /// <inheritdoc/>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        _isRunning = false;
        var waits = InFlight() is { } work ? $"waiting {longestStop().TotalSeconds:0.#} s at most for {work}" : "nothing is in flight";
        var started = listeners().Except(_waiting.Keys);
        var stop = Task.WhenAll([.. started.Select(one => one.StopAsync(_cut.Token)), .. _leaving.Values]);
        LogStopping(waits); // what holds now
        using var cut = cancellationToken.Register(() =>
        {
            LogCutOff(InFlight() ?? "idle connections");
            _cut.Cancel();
        });
        while (true)
        {
            using var woken = new CancellationTokenSource();
            await Task.WhenAny(stop, Task.Delay(ReportInterval, time, woken.Token));
            await woken.CancelAsync();
            if (stop.IsCompleted || cancellationToken.IsCancellationRequested)
            {
                break;
            }
            LogStillWaiting(InFlight() ?? "connections to close");
        }
        await stop;
        LogStopped();
    }

    /// <inheritdoc/>
    public void Dispose() => _cut.Dispose();

    // Its address is bound already, so this hardly fails. Where it does, the others go on.
    private async Task StartAsync(IListener listener)
    {
        if (!_isRunning)
        {
            return; // It starts with all others, or never.
        }
        try
        {
            await listener.StartAsync(CancellationToken.None);
            LogListening(listener.Name, listener.Address);
        }
        catch (StartException e)
        {
            LogNotStarted(e.Message);
        }
    }

    private async Task StartInTurnAsync(ListenerArrival arrival)
    {
        var ends = arrival.After.Select(old => _leaving.GetValueOrDefault(old)).OfType<Task>();
        await Task.WhenAll(ends).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing); // ForgetAsync reports it.
        _waiting.TryRemove(arrival.Listener, out _);
        await StartAsync(arrival.Listener);
    }

    private async Task EndAsync(IListener old, TimeSpan lastRequests)
    {
        if (_isRunning)
        {
            LogLeaving(old.Name, inFlight(old) ?? "idle connections");
            await Task.Delay(lastRequests, time, _cut.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            using var longest = new CancellationTokenSource(longestStop(), time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(longest.Token, _cut.Token);
            using var stop = new CancellationTokenSource();
            using var cut = either.Token.Register(() =>
            {
                LogCutOffAt(old.Name, inFlight(old) ?? "idle connections"); // before the listener cuts it off
                stop.Cancel();
            });
            await old.StopAsync(stop.Token);
            LogEnded(old.Name);
        }
    }

    private async Task ForgetAsync(IListener old, Task end)
    {
        try
        {
            await end;
        }
        finally
        {
            _leaving.TryRemove(old, out _);
            ended(old);
        }
    }

    private string? InFlight()
    {
        var work = listeners().Union(_leaving.Keys)
            .Select(listener => inFlight(listener) is { } text ? $"listener '{listener.Name}': {text}" : null).OfType<string>();
        return string.Join(", ", work) is { Length: > 0 } all ? all : null;
    }

    [LoggerMessage(20, LogLevel.Information, "listener '{Listener}' listens on {Address}")]
    private partial void LogListening(string listener, string address);

    [LoggerMessage(171, LogLevel.Information,
        "listener '{Listener}' was removed or replaced: it accepts nothing more, and finishes {Work}")]
    private partial void LogLeaving(string listener, string work);

    [LoggerMessage(172, LogLevel.Warning, "listener '{Listener}' was removed or replaced: it waits no longer, and cuts off {Work}")]
    private partial void LogCutOffAt(string listener, string work);

    [LoggerMessage(173, LogLevel.Information, "listener '{Listener}' was removed or replaced: it has ended")]
    private partial void LogEnded(string listener);

    [LoggerMessage(174, LogLevel.Error, "{Reason}; the rest of the configuration was applied")]
    private partial void LogNotStarted(string reason);

    [LoggerMessage(21, LogLevel.Information, "stopping: no new connections; {Work}")]
    private partial void LogStopping(string work);

    [LoggerMessage(24, LogLevel.Information, "stopping: still waiting for {Work}")]
    private partial void LogStillWaiting(string work);

    [LoggerMessage(25, LogLevel.Warning, "stopping: waits no longer, and cuts off {Work}")]
    private partial void LogCutOff(string work);

    [LoggerMessage(22, LogLevel.Information, "stopped")]
    private partial void LogStopped();
}
