using System.ComponentModel;
using System.Diagnostics;
using System.Net.Sockets;
using LoadBalancer.Transport;

namespace LoadBalancer.Upgrade;

/// <summary>What goes along at an upgrade.</summary>
/// <param name="Sockets">The sockets that are bound.</param>
/// <param name="State">What this process knows.</param>
internal sealed record HandoverOffer(IReadOnlyList<ListenSocket> Sockets, HandedState State);

/// <summary>
/// Starts the program anew and hands over to it. This process goes on as before until the new one serves: it accepts connections all the
/// time, so that none is refused whatever becomes of the new one.
/// </summary>
/// <param name="command">How this process was started.</param>
/// <param name="offer">What goes along.</param>
/// <param name="leave">Accepts nothing more: the new process serves.</param>
/// <param name="isChanging">Whether a listener still waits for the end of another one: its socket could not be handed over.</param>
/// <param name="time">The clock.</param>
/// <param name="logger">Gets each step.</param>
/// <param name="stopping">Cancelled when this process is told to stop.</param>
internal sealed partial class Upgrader(
    StartCommand command, Func<HandoverOffer> offer, Func<Task> leave, Func<bool> isChanging, TimeProvider time, ILogger<Upgrader> logger,
    CancellationToken stopping)
{
    /// <summary>How long the new process may take until it serves.</summary>
    public static readonly TimeSpan Longest = TimeSpan.FromSeconds(30);

    // A process that has closed its end of the channel has ended, or is about to.
    private static readonly TimeSpan LongestEnd = TimeSpan.FromSeconds(2);

    private readonly TaskCompletionSource _replaced = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _isUnderWay;

    /// <summary>Called where this process goes on after all: what it has given up for the offer begins again.</summary>
    public Action? GoOn { get; init; }

    /// <summary>Completes when another process serves in place of this one.</summary>
    public Task Replaced => _replaced.Task;

    /// <summary>Whether changes would be lost: what this process knows was handed over, or will be in a moment.</summary>
    public bool IsUnderWay => Volatile.Read(ref _isUnderWay) == 1;

    /// <summary>Replaces this process. Returns when the new one serves, or this one goes on.</summary>
    /// <param name="program">The path of an executable, or of a <c>.dll</c>; null for the program that runs now.</param>
    public async Task<UpgradeResult> RunAsync(string? program)
    {
        if (!OperatingSystem.IsLinux())
        {
            return Refused("sockets can be handed over on Linux only; restart the program instead");
        }
        if (program is not null && WhyNot(program) is { } reason)
        {
            return Refused(reason);
        }
        if (isChanging())
        {
            return Refused("the last change of the configuration is not complete: a listener waits for the end of another one, which takes "
                + "ShutdownTimeout at most; try again then");
        }
        if (Interlocked.Exchange(ref _isUnderWay, 1) == 1)
        {
            return Refused(_replaced.Task.IsCompleted ? "this process was replaced already" : "another upgrade is under way");
        }
        LogBegins(program ?? command.Name, Environment.ProcessId);
        var result = await ReplaceAsync(command.For(program));
        if (result.Process is { } process)
        {
            LogReplaced(process, Environment.ProcessId);
            _replaced.SetResult();
        }
        else
        {
            LogFailed(string.Join("; ", result.Errors));
            GoOn?.Invoke();
            Volatile.Write(ref _isUnderWay, 0);
        }
        return result;
    }

    private async Task<UpgradeResult> ReplaceAsync(ProcessStartInfo start)
    {
        try
        {
            var (channel, theirs) = HandoverChannel.NewPair();
            using (channel)
            {
                Process? process;
                using (theirs)
                {
                    start.Environment[Predecessor.Variable] = $"{theirs.DangerousGetHandle()}";
                    process = Process.Start(start)!; // its output and errors go where ours go
                }
                using (process)
                {
                    return await HandOverAsync(process, channel) is { Count: > 0 } errors
                        ? new UpgradeResult(null, errors) : new UpgradeResult(process.Id, []);
                }
            }
        }
        catch (Exception e) when (e is Win32Exception or SocketException or IOException)
        {
            return new UpgradeResult(null, [$"'{start.FileName}' cannot be started: {e.Message}"]);
        }
    }

    /// <returns>Why the new process does not serve.</returns>
    private async Task<IReadOnlyList<string>> HandOverAsync(Process process, HandoverChannel channel)
    {
        IReadOnlyList<string> errors;
        using var late = new CancellationTokenSource(Longest, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, stopping);
        try
        {
            errors = await TryOfferAsync(channel, either.Token) ?? [await WhyGoneAsync(process)];
        }
        catch (OperationCanceledException)
        {
            errors = [stopping.IsCancellationRequested ? "this process was told to stop"
                : $"the new process was not ready within {Longest.TotalSeconds} s"];
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            errors = [await WhyGoneAsync(process)];
        }
        if (errors.Count > 0)
        {
            await EndAsync(process);
            return errors;
        }
        await leave();
        try
        {
            await channel.SendAsync(new HandoverMessage { Kind = HandoverMessage.Left }, CancellationToken.None);
        }
        catch (SocketException)
        {
            // It notices by itself that this process has ended.
        }
        return [];
    }

    /// <returns>Errors of the new process; null where it has gone without a word.</returns>
    private async Task<IReadOnlyList<string>?> TryOfferAsync(HandoverChannel channel, CancellationToken cancellationToken)
    {
        while (await channel.ReceiveAsync(cancellationToken) is { } message)
        {
            switch (message.Kind)
            {
                case HandoverMessage.Wants:
                    var (sockets, state) = offer();
                    channel.SendSockets([.. sockets.Select(socket => socket.Socket)]);
                    var described = sockets.Select(socket => new HandedSocket { Type = $"{socket.Type}", Address = $"{socket.Address}" });
                    await channel.SendAsync(
                        new HandoverMessage { Kind = HandoverMessage.Offer, Sockets = [.. described], State = state }, cancellationToken);
                    break;
                case HandoverMessage.Ready:
                    return [];
                case HandoverMessage.Failed:
                    return message.Errors is { Count: > 0 } errors ? errors : ["the new process cannot start"];
            }
        }
        return null;
    }

    private async Task<string> WhyGoneAsync(Process process)
    {
        using var late = new CancellationTokenSource(LongestEnd, time);
        await process.WaitForExitAsync(late.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return process.HasExited
            ? $"the new process has ended with exit code {process.ExitCode} before it was ready; its standard error says more"
            : "the new process has closed its connection to this one; is it a load balancer that can be handed sockets?";
    }

    private static async Task EndAsync(Process process)
    {
        try
        {
            process.Kill();
            await process.WaitForExitAsync();
        }
        catch (InvalidOperationException)
        {
            // It has ended by itself.
        }
    }

    // A user of the management listener must not be able to run his own file with the rights of this process.
    private static string? WhyNot(string program)
    {
        if (!Path.IsPathFullyQualified(program))
        {
            return $"'{program}' is not an absolute path; expected for example /usr/bin/loadbalancer";
        }
        if (!File.Exists(program))
        {
            return $"there is no file '{program}'";
        }
        const UnixFileMode Others = UnixFileMode.GroupWrite | UnixFileMode.OtherWrite;
        return !OperatingSystem.IsLinux() ? null
            : Libc.OwnerOf(program) is not { } owner || (owner != 0 && owner != Libc.User())
                ? $"'{program}' belongs to another user; expected a file of root or of the user of this process"
            : (File.GetUnixFileMode(program) & Others) != 0
                ? $"others may write '{program}'; expected a file that only its owner may write (chmod go-w)"
            : null;
    }

    private UpgradeResult Refused(string reason)
    {
        LogFailed(reason);
        return new UpgradeResult(null, [reason], IsRefused: true);
    }

    [LoggerMessage(185, LogLevel.Information, "upgrade: starting '{Program}'; process {Process} goes on until that one serves")]
    private partial void LogBegins(string program, int process);

    [LoggerMessage(186, LogLevel.Error, "upgrade: nothing has changed, this process goes on: {Reason}")]
    private partial void LogFailed(string reason);

    [LoggerMessage(187, LogLevel.Information, "upgrade: process {Process} serves now; process {Old} finishes what it has, and ends")]
    private partial void LogReplaced(int process, int old);
}
