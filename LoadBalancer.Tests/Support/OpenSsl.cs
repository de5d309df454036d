using System.ComponentModel;
using System.Diagnostics;

namespace LoadBalancer.Tests.Support;

/// <summary>The program <c>openssl</c>: a TLS client that is not the framework's.</summary>
internal static class OpenSsl
{
    /// <summary>Runs it to its end, or ignores the test where there is none.</summary>
    /// <param name="input">What it reads.</param>
    /// <param name="arguments">Its command and options.</param>
    /// <returns>What it printed, errors included.</returns>
    public static async Task<string> RunAsync(string input, params string[] arguments)
    {
        using var process = Start(arguments);
        var errors = process.StandardError.ReadToEndAsync();
        var output = process.StandardOutput.ReadToEndAsync();
        try
        {
            await process.StandardInput.WriteAsync(input);
            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It has ended already, for example because the server has refused the handshake.
        }
        using var limit = new CancellationTokenSource(TimeLimits.Event);
        await process.WaitForExitAsync(limit.Token);
        return await output + await errors;
    }

    private static Process Start(string[] arguments)
    {
        var start = new ProcessStartInfo("openssl", arguments);
        (start.RedirectStandardInput, start.RedirectStandardOutput, start.RedirectStandardError) = (true, true, true);
        try
        {
            return Process.Start(start)!;
        }
        catch (Win32Exception)
        {
            Assert.Ignore("there is no program openssl here; install Debian's package openssl");
            throw;
        }
    }
}
