using System.Security.Cryptography;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Http.Forwarding;

/// <summary>The secret of an installation's sticky sessions: kept in a file, made where there is none.</summary>
internal static partial class StickyKey
{
    private const int Size = 32;
    private const UnixFileMode OwnerOnly = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    /// <summary>Reads the key, or makes it.</summary>
    /// <param name="pool">The pool that it is for, by name.</param>
    /// <param name="file">Its file; null for the one of the user's application data.</param>
    /// <param name="logger">Told where a key cannot be kept.</param>
    /// <exception cref="StartException">The file that was named cannot be used.</exception>
    public static byte[] Load(string pool, string? file, ILogger logger)
    {
        var directory = Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData);
        try
        {
            return ReadOrMake(file ?? Path.Combine(directory.Length > 0 ? directory : throw new IOException("the user has no directory for application data"), "loadbalancer", "sticky-session.key"));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or FormatException)
        {
            if (file is not null)
            {
                throw new StartException($"pool '{pool}': the key of its sticky sessions cannot be read from '{file}' or written there: {e.Message}", e);
            }
            LogNotKept(logger, pool, e.Message);
            return RandomNumberGenerator.GetBytes(Size);
        }
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

    // Under another name first: nobody must find half a key, and where two nodes start at once one of them wins.
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

    [LoggerMessage(50, LogLevel.Warning, "pool '{Pool}': sticky sessions will not outlive this process, for their key cannot be kept ({Reason}); name a file in StickySession:KeyFile")]
    private static partial void LogNotKept(ILogger logger, string pool, string reason);
}
