namespace LoadBalancer.Files;

/// <summary>
/// A file that only the user of this process can read, in a folder of which that is true if it is made here. It is written beside its
/// place, flushed to the disk and renamed, so that a crash leaves the old one or the new one.
/// </summary>
internal static class PrivateFile
{
    /// <summary>What the user of the process may do with it, and nobody else.</summary>
    public const UnixFileMode Mode = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    // A name of its own for each, because another process may write the same file.
    private const string Unfinished = "loadbalancer-new-";

    // What the framework says of a file that another process has locked: EAGAIN, or ERROR_SHARING_VIOLATION.
    private const int InUseOnLinux = 11;
    private const int InUseOnMac = 35;
    private const int InUseOnWindows = unchecked((int)0x80070020);

    private static readonly TimeSpan LongestWrite = TimeSpan.FromHours(1);

    /// <summary>Writes it; makes its folder where there is none.</summary>
    /// <exception cref="IOException">It cannot be written. Others for files are possible too.</exception>
    public static void Write(string file, ReadOnlySpan<byte> content)
    {
        var folder = Path.GetDirectoryName(Path.GetFullPath(file))!;
        MakeFolder(folder);
        Sweep(folder);
        var draft = Path.Combine(folder, Unfinished + Path.GetRandomFileName());
        try
        {
            using (var stream = Open(draft, FileMode.CreateNew))
            {
                stream.Write(content);
                stream.Flush(flushToDisk: true);
            }
            File.Move(draft, file, overwrite: true);
        }
        catch
        {
            TryDelete(draft);
            throw;
        }
    }

    /// <summary>
    /// Locks a file against other processes, until the result is disposed of or this process ends, however that happens. Makes it where
    /// there is none; it stays.
    /// </summary>
    /// <returns>Null where another process has locked it.</returns>
    /// <exception cref="IOException">It cannot be written. Others for files are possible too.</exception>
    public static IDisposable? TryLock(string file)
    {
        MakeFolder(Path.GetDirectoryName(Path.GetFullPath(file))!);
        try
        {
            return Open(file, FileMode.OpenOrCreate);
        }
        catch (IOException e) when (e.HResult is InUseOnLinux or InUseOnMac or InUseOnWindows)
        {
            return null;
        }
    }

    private static FileStream Open(string file, FileMode mode)
    {
        var how = new FileStreamOptions { Mode = mode, Access = FileAccess.Write, Share = FileShare.None };
        if (!OperatingSystem.IsWindows())
        {
            how.UnixCreateMode = Mode;
        }
        return new FileStream(file, how);
    }

    private static void MakeFolder(string folder)
    {
        if (OperatingSystem.IsWindows())
        {
            Directory.CreateDirectory(folder);
        }
        else
        {
            Directory.CreateDirectory(folder, Mode | UnixFileMode.UserExecute);
        }
    }

    // What a crash has left. What another process writes just now is not that old.
    private static void Sweep(string folder)
    {
        var before = TimeProvider.System.GetUtcNow().UtcDateTime - LongestWrite;
        foreach (var file in Directory.GetFiles(folder, Unfinished + "*"))
        {
            if (File.GetLastWriteTimeUtc(file) < before)
            {
                TryDelete(file);
            }
        }
    }

    private static void TryDelete(string file)
    {
        try
        {
            File.Delete(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It is in nobody's way.
        }
    }
}
