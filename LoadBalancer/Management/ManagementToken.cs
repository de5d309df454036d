using System.Security.Cryptography;
using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Management;

/// <summary>
/// The token of the management listener, and the cookie that stands for it. It looks at <c>TokenFile</c> every two seconds. Of a file that
/// cannot be used there is one warning, and the old token stays.
/// </summary>
internal sealed partial class ManagementToken : IDisposable
{
    private static readonly TimeSpan PollInterval = TimeSpan.FromSeconds(2);

    private readonly ManagementOptions _options;
    private readonly ILogger _logger;
    private readonly ITimer? _poll;
    private string? _read;
    private volatile Secret? _secret;

    /// <summary>Takes the token of the options, and watches its file until disposed.</summary>
    /// <exception cref="StartException">The file cannot be used.</exception>
    public ManagementToken(ManagementOptions options, TimeProvider time, ILogger<ManagementToken> logger)
    {
        (_options, _logger) = (options, logger);
        if (options.Token is { } token)
        {
            _secret = Secret.Of(token);
        }
        if (options.TokenFile is { } file)
        {
            _read = SecretFile.TryRead(file, out var reason);
            var error = _read is null ? reason : options.FindTokenError(_read);
            _secret = error is null ? Secret.Of(_read!)
                : throw new StartException($"management: the token in '{file}' cannot be used: {error}", new InvalidDataException(error));
            _poll = time.CreateTimer(_ => TakeUpChange(file), null, PollInterval, PollInterval);
        }
    }

    /// <summary>Whether there is none, so that every request is served.</summary>
    public bool IsNone => _secret is null;

    /// <summary>The value of the cookie that stands for the token.</summary>
    public string? Cookie => _secret?.Cookie;

    /// <inheritdoc/>
    public void Dispose() => _poll?.Dispose();

    /// <summary>Whether this is the token.</summary>
    public bool IsToken(string text) => _secret is { } secret && AreEqual(text, secret.Token);

    /// <summary>Whether this is the value of the cookie.</summary>
    public bool IsCookie(string text) => _secret is { } secret && AreEqual(text, Encoding.ASCII.GetBytes(secret.Cookie));

    // Takes as long wherever they differ, so that the time tells nothing about the secret.
    private static bool AreEqual(string text, byte[] secret) =>
        CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(text), secret);

    private void TakeUpChange(string file)
    {
        var text = SecretFile.TryRead(file, out var reason);
        if (text == _read)
        {
            return;
        }
        _read = text;
        if ((text is null ? reason : _options.FindTokenError(text)) is { } error)
        {
            LogCannotBeUsed(file, error);
            return;
        }
        _secret = Secret.Of(text!);
        LogTakenUp(file);
    }

    [LoggerMessage(73, LogLevel.Information, "management: the token in '{File}' was taken up")]
    private partial void LogTakenUp(string file);

    [LoggerMessage(74, LogLevel.Warning, "management: the token in '{File}' has changed and cannot be used, the old one stays: {Reason}")]
    private partial void LogCannotBeUsed(string file, string reason);

    // The cookie is not the token itself, because a token may have characters that a cookie may not, and browsers send a host's cookies to
    // all of its ports.
    private sealed record Secret(byte[] Token, string Cookie)
    {
        public static Secret Of(string token)
        {
            var bytes = Encoding.UTF8.GetBytes(token);
            return new(bytes, Convert.ToHexStringLower(HMACSHA256.HashData(bytes, "the dashboard's cookie"u8)));
        }
    }
}
