using System.Diagnostics;

namespace LoadBalancer.Tests.Support;

/// <summary>Programs of others that are in the PATH.</summary>
internal static class InstalledProgram
{
    /// <summary>Its file. The test is skipped if it is not installed.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="package">Debian's package that has it.</param>
    public static string Find(string name, string package)
    {
        var program = Environment.GetEnvironmentVariable("PATH")!.Split(Path.PathSeparator)
            .Select(folder => Path.Combine(folder, name)).FirstOrDefault(File.Exists);
        if (program is null)
        {
            Assert.Ignore($"there is no {name} here; install Debian's package {package}");
        }
        return program;
    }

    /// <summary>Runs it until it ends. Its exit code must be 0.</summary>
    /// <returns>What it has printed.</returns>
    public static async Task<string> RunAsync(string program, string input, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        var (errors, output) = (process.StandardError.ReadToEndAsync(), process.StandardOutput.ReadToEndAsync());
        await process.StandardInput.WriteAsync(input);
        process.StandardInput.Close();
        await process.WaitForExitAsync();
        var printed = await errors + await output;
        process.ExitCode.Should().Be(0, printed);
        return printed;
    }
}
