using System.Runtime.InteropServices;
using System.Threading.Channels;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Configuration.Reading;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Configuration;

/// <summary>
/// Applies changes of the configuration file while the node runs: reads the file twice a second, and at once on SIGHUP. An invalid
/// file changes nothing; its errors are logged, and the next valid one is applied. A file that is broken may only be half written, so
/// it is reported when it has not changed by the next poll.
/// </summary>
/// <param name="running">The configuration that the node was started with.</param>
/// <param name="apply">Applies a configuration, or says why not.</param>
/// <param name="note">Gets the result of each change, in a few words.</param>
/// <param name="time">The clock.</param>
/// <param name="logger">Gets each change and each error.</param>
public sealed partial class ConfigurationReloader(
    LoadedConfiguration running, Func<LoadBalancerOptions, Task> apply, Action<string> note, TimeProvider time,
    ILogger<ConfigurationReloader> logger) : BackgroundService
{
    private static readonly TimeSpan PollInterval = TimeSpan.FromMilliseconds(500);

    private readonly Channel<bool> _requests =
        Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    // The result of the next reload that is asked for.
    private TaskCompletionSource<ReloadResult> _next = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private PosixSignalRegistration? _hangUp;
    private volatile PushedText? _wanted = running.Pushed;
    private PushedText? _inUse = running.Pushed;
    private IReadOnlyDictionary<string, string?> _ignored = running.Ignored;
    private string? _seen = running.Text; // the last text that was applied or refused
    private string? _broken; // the text at the last poll, where it was invalid: it may only be half written
    private bool _isBroken;
    private volatile ReloadResult? _last;
    private long _applied;
    private long _refused;

    /// <summary>Called with true before a changed configuration is applied, and with false after that.</summary>
    public Action<bool> Announce { get; init; } = _ => { };

    /// <summary>What was pushed to the cluster and is to be used, where the node could not be started with it.</summary>
    public PushedText? Wanted
    {
        get => _wanted;
        init => _wanted = value;
    }

    /// <summary>Gets the result of each try to use what was pushed to the cluster, until one succeeds.</summary>
    public Action<PushedText, ReloadResult> Tried { get; init; } = (_, _) => { };

    /// <summary>The result of the last reload; null before the first one.</summary>
    public ReloadResult? Last => _last;

    /// <summary>How often a changed configuration was applied.</summary>
    public long Applied => Interlocked.Read(ref _applied);

    /// <summary>How often one was refused because it was invalid.</summary>
    public long Refused => Interlocked.Read(ref _refused);

    /// <inheritdoc/>
    public override void Dispose()
    {
        base.Dispose();
        _hangUp?.Dispose();
    }

    /// <inheritdoc/>
    public override Task StartAsync(CancellationToken cancellationToken)
    {
        // Not in ExecuteAsync, which begins at some later time on another thread: until there is a handler SIGHUP ends the process.
        _hangUp = OperatingSystem.IsWindows() ? null : PosixSignalRegistration.Create(PosixSignal.SIGHUP, OnHangUp);
        return base.StartAsync(cancellationToken);
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            while (true)
            {
                await LookAsync(await IsRequestedWithinAsync(PollInterval, stoppingToken), Announce);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // The load balancer stops.
        }
        finally
        {
            _next.TrySetCanceled(CancellationToken.None);
        }
    }

    /// <summary>
    /// Before the start: applies what was pushed to the cluster since the node was composed, so that the first request finds it. Does
    /// nothing where no reload was asked for.
    /// </summary>
    public Task CatchUpAsync() => _requests.Reader.TryRead(out _) ? LookAsync(isRequested: true, announce: _ => { }) : Task.CompletedTask;

    /// <summary>Asks for a reload now, as SIGHUP does: also where the file has not changed. Returns at once.</summary>
    public void RequestReload() => _requests.Writer.TryWrite(true); // One that waits there already does for both.

    /// <summary>The same, and waits until the file as it is now was applied or refused.</summary>
    /// <exception cref="OperationCanceledException">The load balancer stops.</exception>
    public Task<ReloadResult> ReloadAsync()
    {
        var result = Volatile.Read(ref _next).Task;
        RequestReload();
        return result;
    }

    /// <summary>
    /// Uses what was pushed to the cluster in the place of some sections of the file, and waits until that was applied or refused. What was
    /// refused is tried again with each reload.
    /// </summary>
    /// <exception cref="OperationCanceledException">The load balancer stops.</exception>
    public Task<ReloadResult> UseAsync(PushedText pushed)
    {
        _wanted = pushed;
        return ReloadAsync();
    }

    private void OnHangUp(PosixSignalContext context)
    {
        context.Cancel = true; // Its default is to end the process.
        RequestReload();
    }

    private async Task<bool> IsRequestedWithinAsync(TimeSpan interval, CancellationToken stoppingToken)
    {
        using var poll = new CancellationTokenSource(interval, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(poll.Token, stoppingToken);
        await ((Task)_requests.Reader.WaitToReadAsync(either.Token).AsTask()).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        stoppingToken.ThrowIfCancellationRequested();
        return _requests.Reader.TryRead(out _); // Not whether the poll fell due: that may happen in the same instant.
    }

    // Applies what has changed. Where it was asked for, also what has not changed.
    private async Task LookAsync(bool isRequested, Action<bool> announce)
    {
        // Who asks from now on gets the result of the next reload: the file may change after it is read here.
        var asked = isRequested ? Interlocked.Exchange(ref _next, new(TaskCreationOptions.RunContinuationsAsynchronously)) : null;
        var text = TryRead();
        if (text == _seen && !isRequested)
        {
            _isBroken = false;
            return;
        }
        var wanted = _wanted;
        var loaded = running.Reload(wanted);
        if (loaded.Errors.Count > 0 && !(_isBroken && text == _broken) && !isRequested)
        {
            (_broken, _isBroken) = (text, true);
            return;
        }
        var isChanged = text != _seen;
        (_seen, _isBroken) = (text, false);
        announce(true);
        var trying = wanted == _inUse ? ApplyAsync(loaded, $"'{running.File}'") : TryAsync(loaded, wanted!);
        var result = await trying with { At = time.GetUtcNow() };
        if (isChanged && wanted != _inUse && running.Reload(_inUse) is { Errors.Count: 0 } own)
        {
            await ApplyAsync(own, $"'{running.File}'"); // What was pushed keeps nobody from changing the node's own sections.
        }
        _last = result;
        announce(false);
        asked?.SetResult(result);
    }

    private async Task<ReloadResult> TryAsync(LoadedConfiguration loaded, PushedText wanted)
    {
        var result = await ApplyAsync(loaded, $"number {wanted.Number} of the cluster");
        if (result.Errors.Count == 0)
        {
            (_inUse, _ignored) = (wanted, loaded.Ignored);
        }
        Tried(wanted, result);
        return result;
    }

    // What is applied, in words.
    private async Task<ReloadResult> ApplyAsync(LoadedConfiguration loaded, string what)
    {
        if (loaded.Errors.Count > 0)
        {
            Interlocked.Increment(ref _refused);
            note("the configuration has changed and is invalid, so nothing changes");
            LogRefused(what, loaded.Errors.Count);
            foreach (var error in loaded.Errors)
            {
                LogError(error);
            }
            return new ReloadResult([.. loaded.Errors.Select(error => $"{error}")], []);
        }
        try
        {
            await apply(loaded.Options);
        }
        catch (Exception e) // Of whatever kind: the running configuration stays in use.
        {
            Interlocked.Increment(ref _refused);
            note("the configuration cannot be applied: " + e.Message);
            LogNotApplied(what, e.Message, e is StartException ? null : e);
            return new ReloadResult([e.Message], []);
        }
        Interlocked.Increment(ref _applied); // Before the log: who reads of it there finds it counted.
        note("the configuration was applied");
        foreach (var warning in loaded.Warnings)
        {
            LogWarning(warning);
        }
        if (_inUse is { } pushed && loaded.Pushed == pushed && SharedSections.Changed(_ignored, loaded.Ignored) is { Count: > 0 } ignored)
        {
            _ignored = loaded.Ignored;
            LogIgnored(string.Join(", ", ignored), running.File, pushed);
        }
        LogApplied(what);
        return new ReloadResult([], [.. loaded.Warnings.Select(warning => $"{warning}")]);
    }

    private string? TryRead()
    {
        try
        {
            return File.ReadAllText(running.File);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    [LoggerMessage(60, LogLevel.Information, "configuration: {What} was applied")]
    private partial void LogApplied(string what);

    [LoggerMessage(61, LogLevel.Error, "configuration: {What} has changed and is invalid, so nothing changes; errors: {Count}")]
    private partial void LogRefused(string what, int count);

    [LoggerMessage(62, LogLevel.Error, "{Error}")]
    private partial void LogError(ConfigurationError error);

    [LoggerMessage(65, LogLevel.Warning, "{Warning}")]
    private partial void LogWarning(ConfigurationError warning);

    [LoggerMessage(64, LogLevel.Error, "configuration: {What} cannot be applied: {Reason}")]
    private partial void LogNotApplied(string what, string reason, Exception? exception);

    [LoggerMessage(270, LogLevel.Warning,
        "configuration: a change of {Sections} in '{File}' is ignored, because {Pushed} has them; push the change: config push FILE")]
    private partial void LogIgnored(string sections, string file, PushedText pushed);
}
