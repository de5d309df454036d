using System.ComponentModel;
using System.Diagnostics;
using System.IO.Enumeration;
using LoadBalancer.Transport;

namespace LoadBalancer.Diagnostics.Metrics;

/// <summary>
/// What the system says about this process, at the moment of asking. Null if it does not say, which includes that no file can be opened to
/// read it: the other metrics must be there above all then.
/// </summary>
internal static class ProcessReadings
{
    /// <summary>Its address space in bytes, whether in use or not.</summary>
    public static long? VirtualMemory => Read(process => process.VirtualMemorySize64);

    /// <summary>How many threads it has.</summary>
    public static long? Threads => Read(process => process.Threads.Count);

    /// <summary>How many files, sockets and pipes it has open, on Linux.</summary>
    public static long? OpenFiles => OperatingSystem.IsLinux() ? Libc.CountOpenFiles() ?? CountLinks() : null;

    /// <summary>How many it may have open, on Linux.</summary>
    public static long? MaxFiles => OperatingSystem.IsLinux() ? Libc.FileLimit() : null;

    /// <summary>The open files on a system that does not tell their number, but has a link for each.</summary>
    internal static long? CountLinks()
    {
        try
        {
            // No string is made of a link: there may be a hundred thousand.
            var files = new FileSystemEnumerable<bool>(
                "/proc/self/fd", static (ref FileSystemEntry _) => true, new EnumerationOptions { AttributesToSkip = 0 });
            return files.LongCount() - 1; // One is the folder itself, which is read.
        }
        catch (IOException)
        {
            return null;
        }
    }

    private static long? Read(Func<Process, long> value)
    {
        try
        {
            using var process = Process.GetCurrentProcess();
            return value(process);
        }
        catch (Exception e) when (e is InvalidOperationException or Win32Exception or IOException)
        {
            return null;
        }
    }
}
