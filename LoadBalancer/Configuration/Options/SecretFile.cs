namespace LoadBalancer.Configuration.Options;

/// <summary>A file with one secret (a password, a token) and nothing else. A line end after it does not count.</summary>
internal static class SecretFile
{
    /// <summary>Reads the secret.</summary>
    /// <exception cref="IOException">The file cannot be read. Others of the framework's for files are possible too.</exception>
    public static string Read(string file) => File.ReadAllText(file).TrimEnd('\r', '\n');

    /// <summary>Reads the secret; if that is not possible, says why, in words for the user.</summary>
    /// <returns>The secret; null where the file cannot be read.</returns>
    public static string? TryRead(string file, out string error)
    {
        try
        {
            error = "";
            return Read(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            error = e is FileNotFoundException or DirectoryNotFoundException ? "there is no such file" : e.Message;
            return null;
        }
    }
}
