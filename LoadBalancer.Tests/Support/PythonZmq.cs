using System.Diagnostics;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// A small Python program with libzmq in it: a peer that we did not write. It is given as text, and finds <c>zmq</c>, <c>ctx</c>,
/// <c>sys</c>, <c>time</c> and <c>say</c> (prints a line at once) there. Where there is no python3-zmq the tests that want it are left out.
/// </summary>
internal sealed class PythonZmq : IAsyncDisposable
{
    private static readonly string Prelude = """
        import sys, time, zmq
        ctx = zmq.Context()
        def say(*what): print(*what, flush=True)
        def socket(kind, address, bind=False, **options):
            s = ctx.socket(kind)
            s.linger = 0
            s.rcvtimeo = PATIENCE
            for name, value in options.items(): s.setsockopt(getattr(zmq, name), value)
            s.bind(address) if bind else s.connect(address)
            return s

        """.Replace("PATIENCE", $"{TimeLimits.Event.TotalMilliseconds}", StringComparison.Ordinal);

    private static readonly string[] Candidates = ["/usr/bin/python3", "python3"];
    private static readonly Lazy<string?> Python = new(Find);

    private readonly Process _process;
    private readonly Task<string> _errors;

    private PythonZmq(string python, string script, string[] args)
    {
        var start = new ProcessStartInfo(python, ["-c", Prelude + script, .. args]);
        (start.RedirectStandardInput, start.RedirectStandardOutput, start.RedirectStandardError) = (true, true, true);
        _process = Process.Start(start)!;
        _errors = _process.StandardError.ReadToEndAsync();
    }

    /// <summary>Starts it, or ignores the test.</summary>
    /// <param name="script">What it does.</param>
    /// <param name="args">In <c>sys.argv[1:]</c>.</param>
    public static PythonZmq Start(string script, params object[] args)
    {
        if (Python.Value is not { } python)
        {
            Assert.Ignore("there is no libzmq for Python here; install Debian's package python3-zmq");
            throw new InvalidOperationException(); // Ignore does not return.
        }
        return new PythonZmq(python, script, [.. args.Select(arg => FormattableString.Invariant($"{arg}"))]);
    }

    /// <summary>The next line that it says.</summary>
    public async Task<string> ReadLineAsync() =>
        await _process.StandardOutput.ReadLineAsync()
        ?? throw new InvalidOperationException("the Python program has ended: " + await _errors);

    /// <summary>Everything that it says until it ends.</summary>
    public async Task<string[]> ReadToEndAsync()
    {
        var output = await _process.StandardOutput.ReadToEndAsync();
        var errors = await _errors;
        errors.Should().BeEmpty();
        return output.Split('\n', StringSplitOptions.RemoveEmptyEntries);
    }

    /// <summary>A line for <c>input()</c>.</summary>
    public async Task WriteLineAsync(string line = "")
    {
        await _process.StandardInput.WriteLineAsync(line);
        await _process.StandardInput.FlushAsync();
    }

    /// <summary>Kills it, as with kill -9.</summary>
    public void Kill() => _process.Kill();

    public async ValueTask DisposeAsync()
    {
        _process.Kill(); // does nothing where it has ended
        await _process.WaitForExitAsync();
        _process.Dispose();
    }

    private static string? Find() => Candidates.FirstOrDefault(python =>
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(python, ["-c", "import zmq"]) { RedirectStandardError = true });
            process!.StandardError.ReadToEnd();
            process.WaitForExit();
            return process.ExitCode == 0;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return false; // There is no such program.
        }
    });
}
