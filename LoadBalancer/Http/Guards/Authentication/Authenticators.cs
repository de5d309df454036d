using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Http.Guards.Authentication;

/// <summary>Makes what checks clients, as the configuration says.</summary>
internal static class Authenticators
{
    /// <summary>Makes one of valid options.</summary>
    /// <exception cref="IOException">A file cannot be read.</exception>
    /// <exception cref="FormatException">A file is not valid.</exception>
    public static IAuthenticator Create(string name, AuthenticationOptions options, TimeProvider time, ILogger logger) =>
        options.Type switch
        {
            AuthenticationType.Basic => new BasicAuthenticator(name, options, time, logger),
            AuthenticationType.Jwt => new JwtAuthenticator(options, time, logger),
            AuthenticationType.Forward => new ForwardAuthenticator(options, time, logger),
        };

    /// <summary>What is wrong with a file that the options name; null where nothing is.</summary>
    public static (string Key, string Error)? FindFileError(AuthenticationOptions options)
    {
        var (key, file) = options.UsersFile is not null ? ("UsersFile", options.UsersFile) : ("KeysFile", options.KeysFile);
        if (file is null)
        {
            return null;
        }
        try
        {
            var bytes = File.ReadAllBytes(file);
            _ = options.UsersFile is not null ? (object)UsersFile.Parse(System.Text.Encoding.UTF8.GetString(bytes)) : JwtKeys.Parse(bytes);
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            var isMissing = e is FileNotFoundException or DirectoryNotFoundException;
            return (key, $"'{file}' cannot be read: {(isMissing ? "there is no such file" : e.Message)}");
        }
        catch (FormatException e)
        {
            return (key, $"'{file}' cannot be used: {e.Message}");
        }
    }
}
