using System.Diagnostics;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// Kills every program that the tests started, and whatever that started in turn, when the test process ends, even by SIGKILL.
/// Linux only; elsewhere an aborted run may leave programs behind.
/// </summary>
/// <remarks>
/// A shell in a session of its own waits for the end of a pipe that only the test process holds. It finds the programs by an environment
/// variable, which children inherit. PR_SET_PDEATHSIG is no alternative: it is sent when the <i>thread</i> that started the program ends,
/// and it does not reach the children of children (RabbitMQ, PostgreSQL and Chromium start some).
/// </remarks>
internal sealed class Watchdog : IDisposable
{
    /// <summary>The variable that marks the programs of one test process.</summary>
    public const string Variable = "LOADBALANCER_TEST_RUN";

    // A few rounds: a program may be starting another one while it is killed.
    private const string Script = """
        exec > /dev/null 2>&1
        cat
        for round in 1 2 3 4 5 6 7 8 9 10; do
          found=$(grep -lzxF -e "$0" /proc/[0-9]*/environ)
          [ -n "$found" ] || exit
          for file in $found; do pid=${file#/proc/}; kill -9 "${pid%/environ}"; done
          sleep 0.1
        done
        """;

    private readonly Process _shell;

    private Watchdog(Process shell) => _shell = shell;

    /// <summary>Starts it for the programs that this process starts from now on.</summary>
    public static Watchdog? Start()
    {
        if (!OperatingSystem.IsLinux())
        {
            return null;
        }
        var mark = Guid.NewGuid().ToString();
        var watchdog = Start(mark);
        Environment.SetEnvironmentVariable(Variable, mark); // after the shell, which must not find itself
        return watchdog;
    }

    /// <summary>Starts it for the programs that have the variable set to this.</summary>
    public static Watchdog Start(string mark)
    {
        var start = new ProcessStartInfo("setsid", ["sh", "-c", Script, $"{Variable}={mark}"]) { RedirectStandardInput = true };
        start.Environment.Remove(Variable);
        return new Watchdog(Process.Start(start)!);
    }

    /// <summary>Ends the pipe, which kills what is left.</summary>
    public void Dispose()
    {
        _shell.StandardInput.Dispose();
        _shell.Dispose();
    }
}
