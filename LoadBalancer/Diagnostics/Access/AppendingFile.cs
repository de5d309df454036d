using System.Runtime.InteropServices;

namespace LoadBalancer.Diagnostics.Access;

/// <summary>
/// Opens files to which every write is appended, even if other processes write to them. <see cref="FileMode.Append"/> is not enough:
/// it seeks to the end once, when the file is opened, and later writes continue from that offset. Two processes then overwrite each
/// other's lines, and a file that was cut (logrotate's <c>copytruncate</c>) gets a hole of NUL bytes.
/// </summary>
internal static partial class AppendingFile
{
    // fcntl(2); the values of Linux on every processor that .NET runs on.
    private const int SetFlags = 4; // F_SETFL
    private const int Append = 0x400; // O_APPEND

    // access(2); the same everywhere.
    private const int MayWrite = 2; // W_OK
    private const int MayEnter = 1; // X_OK

    /// <summary>Opens a file, or makes it. Only on Linux is each write atomic with regard to other processes.</summary>
    /// <exception cref="IOException">It cannot be opened.</exception>
    /// <exception cref="UnauthorizedAccessException">It cannot be opened.</exception>
    public static FileStream Open(string path)
    {
        var stream = new FileStream(path, new FileStreamOptions
        {
            Mode = FileMode.OpenOrCreate,
            Access = FileAccess.Write,
            Share = FileShare.ReadWrite | FileShare.Delete,
            BufferSize = 0, // What is written is a batch already.
        });
        // FileStream writes with pwrite(2), which on Linux appends where O_APPEND is set, whatever the offset ("BUGS" in its manual page).
        if (OperatingSystem.IsLinux() && Control(stream.SafeFileHandle, SetFlags, Append) < 0)
        {
            var error = Marshal.GetLastPInvokeErrorMessage();
            stream.Dispose();
            throw new IOException($"it cannot be opened for appending: {error}");
        }
        return stream;
    }

    /// <summary>Why a file cannot be appended to or made; null where it can. Opens and makes nothing.</summary>
    public static string? FindError(string path)
    {
        if (Directory.Exists(path))
        {
            return "it is a directory";
        }
        var folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        return !Directory.Exists(folder) ? $"there is no directory '{folder}'"
            : OperatingSystem.IsWindows() ? null // Its rules say less: opening the file will tell.
            : Path.Exists(path) ? MayAccess(path, MayWrite) ? null : "permission denied"
            : MayAccess(folder, MayWrite | MayEnter) ? null : $"permission denied in directory '{folder}'";
    }

    private static bool MayAccess(string path, int mode) => Access(path, mode) == 0;

    [LibraryImport("libc", EntryPoint = "access", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Access(string path, int mode);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    private static partial int Control(SafeHandle file, int command, int argument);
}
