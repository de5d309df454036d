using System.Globalization;
using System.Runtime.InteropServices;
using LoadBalancer.Diagnostics.Access;

namespace LoadBalancer.Composition;

/// <summary>
/// What signals mean beside their use in the node: from the first moment on SIGHUP, SIGUSR1 and SIGUSR2 no longer end the process, SIGHUP
/// ends it in order where its terminal was closed, and a SIGINT after a SIGINT or SIGTERM ends it at once.
/// </summary>
internal sealed class ProcessSignals : IDisposable
{
    /// <summary>The exit code of a process that was ended at once: that of shells for SIGINT.</summary>
    public const int EndedAtOnce = 130;

    // Connections are cut, and logs written to their ends; if that takes longer, something hangs.
    private static readonly TimeSpan LongestEnd = TimeSpan.FromSeconds(1);

    // SIGUSR2 of Linux; PosixSignal has no name for it.
    private const PosixSignal SigUsr2 = (PosixSignal)12;

    private readonly CancellationTokenSource _terminalClosed = new();
    private readonly CancellationTokenSource _now = new();
    private readonly List<PosixSignalRegistration> _registrations = [];
    private readonly bool _hasTerminal;
    private readonly ITimer _terminalCheck;
    private readonly ITimer _exit;
    private int _stops;

    /// <summary>Begins to handle them.</summary>
    /// <param name="time">The clock.</param>
    public ProcessSignals(TimeProvider time)
    {
        _hasTerminal = HasTerminal() && !IsHangUpIgnored(); // Before the handlers, which change that.
        _terminalCheck = time.CreateTimer(_ => CheckTerminal(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        _exit = time.CreateTimer(_ => Environment.Exit(EndedAtOnce), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        Handle(PosixSignal.SIGINT, isInterrupt: true);
        Handle(PosixSignal.SIGTERM, isInterrupt: false);
        if (!OperatingSystem.IsWindows())
        {
            _registrations.Add(PosixSignalRegistration.Create(PosixSignal.SIGHUP, OnHangUp));
            _registrations.Add(PosixSignalRegistration.Create(AccessLogs.SigUsr1, context => context.Cancel = true));
        }
        if (OperatingSystem.IsLinux())
        {
            _registrations.Add(PosixSignalRegistration.Create(SigUsr2, context =>
            {
                context.Cancel = true; // Its default is to end the process.
                UpgradeRequested?.Invoke();
            }));
        }
    }

    /// <summary>Raised by SIGUSR2; handlers must not block.</summary>
    public event Action? UpgradeRequested;

    /// <summary>Cancelled when the process is to stop because its terminal was closed.</summary>
    public CancellationToken TerminalClosed => _terminalClosed.Token;

    /// <summary>Cancelled when the stop is to wait no longer. The process ends within a second, whatever happens.</summary>
    public CancellationToken Now => _now.Token;

    /// <inheritdoc/>
    public void Dispose()
    {
        _registrations.ForEach(registration => registration.Dispose());
        _terminalCheck.Dispose();
        _exit.Dispose();
        _terminalClosed.Dispose();
        _now.Dispose();
    }

    // The first one is the host's, which stops the node; before the host is there, it ends the process as it does by default.
    private void Handle(PosixSignal signal, bool isInterrupt) => _registrations.Add(PosixSignalRegistration.Create(signal, context =>
    {
        if (Interlocked.Increment(ref _stops) > 1)
        {
            context.Cancel = true;
            if (isInterrupt)
            {
                _exit.Change(LongestEnd, Timeout.InfiniteTimeSpan);
                _now.Cancel();
            }
        }
    }));

    // A daemon has no terminal: there SIGHUP only reloads. The shell may pass it on a moment before the terminal is gone.
    private void OnHangUp(PosixSignalContext context)
    {
        context.Cancel = true;
        CheckTerminal();
        _terminalCheck.Change(LongestEnd, Timeout.InfiniteTimeSpan);
    }

    private void CheckTerminal()
    {
        if (_hasTerminal && !HasTerminal())
        {
            _terminalClosed.Cancel();
        }
    }

    // /dev/tty is the terminal that controls the process; it cannot be opened where there is none.
    private static bool HasTerminal()
    {
        if (OperatingSystem.IsWindows())
        {
            return false;
        }
        try
        {
            using var terminal = File.OpenHandle("/dev/tty", share: FileShare.ReadWrite);
            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }

    // Under nohup: the user wants that it outlives the terminal. The first bit of the mask is signal 1.
    private static bool IsHangUpIgnored()
    {
        const string Key = "SigIgn:";
        try
        {
            var mask = File.ReadLines("/proc/self/status").FirstOrDefault(line => line.StartsWith(Key, StringComparison.Ordinal));
            return mask is not null && (ulong.Parse(mask[Key.Length..], NumberStyles.HexNumber | NumberStyles.AllowLeadingWhite,
                CultureInfo.InvariantCulture) & 1) != 0;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }
    }
}
