using System.Security.Cryptography;
using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Management;

/// <summary>
/// One token of the management listener, and the cookie that stands for it. Its file is looked at every two seconds. Of a file that cannot
/// be used there is one warning, and the old token stays. It is tried again each time: another user may give up the same token later.
/// </summary>
internal sealed partial class ManagementToken : IDisposable
{
    private static readonly TimeSpan PollInterval = TimeSpan.FromSeconds(2);

    private readonly Func<string, string?> _findError;
    private readonly ILogger _logger;
    private readonly Lock _gate;
    private readonly ITimer? _poll;
    private string? _read; // This and the next under the gate.
    private (string? Text, string Error)? _refused;
    private volatile Secret _secret;

    /// <summary>Takes a token that does not change.</summary>
    /// <param name="user">The user who has it.</param>
    /// <param name="token">The token.</param>
    /// <param name="logger">Gets nothing.</param>
    public ManagementToken(ManagementUser user, string token, ILogger<ManagementToken> logger) =>
        (User, _secret, _findError, _logger, _gate) = (user, Secret.Of(token), _ => null, logger, new Lock());

    /// <summary>Reads the token from a file, and watches the file until disposed.</summary>
    /// <param name="user">The user who has it.</param>
    /// <param name="file">The file.</param>
    /// <param name="findError">What is wrong with a token; null for nothing.</param>
    /// <param name="gate">Held while a token is checked and taken up, so that no two take up the same one.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Gets each change.</param>
    /// <exception cref="StartException">The file cannot be used.</exception>
    public ManagementToken(
        ManagementUser user, string file, Func<string, string?> findError, Lock gate, TimeProvider time, ILogger<ManagementToken> logger)
    {
        (User, _findError, _gate, _logger) = (user, findError, gate, logger);
        _read = SecretFile.TryRead(file, out var reason);
        var error = _read is null ? reason : findError(_read);
        _secret = error is null ? Secret.Of(_read!)
            : throw new StartException($"management: the token in '{file}' cannot be used: {error}", new InvalidDataException(error));
        _poll = time.CreateTimer(_ => TakeUpChange(file), null, PollInterval, PollInterval);
    }

    /// <summary>The user who has it.</summary>
    public ManagementUser User { get; }

    /// <summary>The value of the cookie that stands for the token.</summary>
    public string Cookie => _secret.Cookie;

    /// <inheritdoc/>
    public void Dispose() => _poll?.Dispose();

    /// <summary>Whether this is the token.</summary>
    public bool IsToken(string text) => AreEqual(text, _secret.Token);

    /// <summary>Whether this is the value of the cookie.</summary>
    public bool IsCookie(string text) => AreEqual(text, Encoding.ASCII.GetBytes(_secret.Cookie));

    // Takes as long wherever they differ, so that the time tells nothing about the secret.
    private static bool AreEqual(string text, byte[] secret) =>
        CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(text), secret);

    private void TakeUpChange(string file)
    {
        var text = SecretFile.TryRead(file, out var reason);
        lock (_gate)
        {
            if (text == _read)
            {
                _refused = null;
                return;
            }
            if ((text is null ? reason : _findError(text)) is { } error)
            {
                if (_refused != (text, error))
                {
                    _refused = (text, error);
                    LogCannotBeUsed(file, error);
                }
                return;
            }
            (_read, _refused, _secret) = (text, null, Secret.Of(text!));
        }
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
