using System.Security.Cryptography;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Http.Forwarding;

/// <summary>The secret key of sticky sessions: read from a file, which is made where there is none.</summary>
internal static partial class StickyKey
{
    private const int Size = 32;
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>Reads the key, or makes one.</summary>
    /// <param name="pool">The name of its pool.</param>
    /// <param name="file">Its file; null for <c>loadbalancer/sticky-session.key</c> in the user's application data.</param>
    /// <param name="handed">The key of the process that this one replaces, for where it cannot be stored; null where there is none.</param>
    /// <param name="logger">Gets a warning where the key cannot be stored, so that it lasts as long as this process.</param>
    /// <exception cref="StartException"><paramref name="file"/> cannot be read or written.</exception>
    public static byte[] Load(string pool, string? file, byte[]? handed, ILogger logger)
    {
        try
        {
            return ReadOrMake(file ?? DefaultFile());
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or FormatException)
        {
            if (file is not null)
            {
                throw new StartException(
                    $"pool '{pool}': the key of its sticky sessions cannot be read from '{file}' or written there: {e.Message}", e);
            }
            LogNotStored(logger, pool, e.Message);
            return handed is { Length: >= Size } ? handed : RandomNumberGenerator.GetBytes(Size);
        }
    }

    private static string DefaultFile()
    {
        var directory = Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData);
        return directory.Length > 0
            ? Path.Combine(directory, "loadbalancer", "sticky-session.key")
            : throw new IOException("the user has no directory for application data");
    }

    private static byte[] ReadOrMake(string file)
    {
        if (!File.Exists(file))
        {
            Make(file);
        }
        var key = Convert.FromBase64String(File.ReadAllText(file).Trim());
        return key.Length >= Size ? key : throw new FormatException($"expected {Size} bytes or more in base64, found {key.Length}");
    }

    // Written under another name first, so that no other node reads half a key. Where two nodes start at once the first rename wins.
    private static void Make(string file)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(Path.GetFullPath(file))!);
        var draft = $"{file}.{Guid.NewGuid():N}";
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = OwnerOnly;
        }
        using (var writer = new StreamWriter(draft, options))
        {
            writer.WriteLine(Convert.ToBase64String(RandomNumberGenerator.GetBytes(Size)));
        }
        try
        {
            File.Move(draft, file, overwrite: false);
        }
        catch (IOException) when (File.Exists(file))
        {
            File.Delete(draft);
        }
    }

    [LoggerMessage(50, LogLevel.Warning,
        "pool '{Pool}': sticky sessions end with this process, because their key cannot be stored ({Reason}); "
        + "name a file in StickySession:KeyFile")]
    private static partial void LogNotStored(ILogger logger, string pool, string reason);
}
