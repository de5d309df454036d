using System.Diagnostics;

namespace LoadBalancer.Tests.Support;

[Platform("Linux")]
internal sealed class WatchdogTests
{
    [Test]
    public async Task PipeEnds_ProgramAndItsChildInAnotherSession_AreKilledAndOthersAreNot()
    {
        var mark = Guid.NewGuid().ToString();
        var watchdog = Watchdog.Start(mark);
        using var program = Start(mark);
        using var other = Start(mark + "-other");
        var child = int.Parse((await program.StandardOutput.ReadLineAsync())!, System.Globalization.CultureInfo.InvariantCulture);
        await other.StandardOutput.ReadLineAsync();

        watchdog.Dispose(); // as the system does where this process is killed

        await program.WaitForExitAsync();
        await Eventually.BeTrueAsync(() => !IsRunning(child), "the child is killed too");
        other.HasExited.Should().BeFalse();
        other.Kill(entireProcessTree: true);
    }

    // A shell that starts a child, says which, and waits.
    private static Process Start(string mark)
    {
        var start = new ProcessStartInfo("sh", ["-c", "setsid sleep 1000 > /dev/null & echo $!; wait"]) { RedirectStandardOutput = true };
        start.Environment[Watchdog.Variable] = mark;
        return Process.Start(start)!;
    }

    // A zombie counts as ended: there may be no parent left to reap it.
    private static bool IsRunning(int process)
    {
        try
        {
            return !File.ReadAllText($"/proc/{process}/stat").Contains(") Z ", StringComparison.Ordinal);
        }
        catch (IOException)
        {
            return false;
        }
    }
}
