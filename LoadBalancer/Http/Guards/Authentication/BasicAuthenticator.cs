using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Files;
using LoadBalancer.Http.Guards.Rates;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Transforms;

namespace LoadBalancer.Http.Guards.Authentication;

/// <summary>
/// Names and passwords (RFC 7617). A password that was right is remembered as a keyed hash, so that it is not checked each time.
/// </summary>
internal sealed class BasicAuthenticator : IAuthenticator
{
    private const int MaxRemembered = 10_000;

    private static readonly TimeSpan RetryWhenFull = TimeSpan.FromSeconds(1);

    // Other bytes would be replaced, and then two passwords were the same.
    private static readonly UTF8Encoding Utf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    private readonly WatchedFile<UsersFile> _users;
    private readonly string _challenge;
    private readonly IReadOnlyList<string> _dropped;
    private readonly byte[] _key = RandomNumberGenerator.GetBytes(32);
    private readonly ConcurrentDictionary<string, bool> _remembered = new(StringComparer.Ordinal);

    /// <summary>Reads the users.</summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="FormatException">The file is not valid.</exception>
    public BasicAuthenticator(string name, AuthenticationOptions options, TimeProvider time, ILogger logger)
    {
        _users = new WatchedFile<UsersFile>(options.UsersFile!, bytes => UsersFile.Parse(Encoding.UTF8.GetString(bytes)), time, logger);
        _challenge = $"Basic realm=\"{options.Realm ?? name}\", charset=\"UTF-8\"";
        _dropped = options.Forward ? [] : ["Authorization"];
    }

    /// <inheritdoc/>
    public async ValueTask<AuthenticationResult> CheckAsync(HttpContext context, IPAddress? client)
    {
        if (Read(context.Request.Headers.Authorization) is not var (user, password))
        {
            return new(null, ForwardError.Unauthenticated, _challenge);
        }
        var users = _users.Content;
        var hash = users.Hashes.GetValueOrDefault(user);
        var proof = Proof(user, password, hash);
        if (!_remembered.ContainsKey(proof))
        {
            var isRight = await PasswordQueue.Shared.CheckAsync(password, users.Checks(hash), RateKey.OfAddress(client));
            if (isRight is null)
            {
                return new(null, ForwardError.TooManyRequests, RetryAfter: RetryWhenFull);
            }
            if (isRight == false || hash is null) // Nobody has a dummy's password, but that is no proof.
            {
                return new(null, ForwardError.Unauthenticated, _challenge);
            }
            if (_remembered.Count >= MaxRemembered)
            {
                _remembered.Clear();
            }
            _remembered[proof] = true;
        }
        return new(new ProvedIdentity(user, _dropped, []));
    }

    /// <inheritdoc/>
    public void Dispose() => _users.Dispose();

    // With the hash in it: when the password is changed in the file, the old one is forgotten.
    private string Proof(string user, string password, string? hash) =>
        Convert.ToHexString(HMACSHA256.HashData(_key, Encoding.UTF8.GetBytes($"{user}\0{password}\0{hash}")));

    private static (string User, string Password)? Read(string? authorization)
    {
        try
        {
            return AuthenticationHeaderValue.TryParse(authorization, out var value)
                && value.Scheme.Equals("Basic", StringComparison.OrdinalIgnoreCase)
                && Utf8.GetString(Convert.FromBase64String(value.Parameter ?? "")) is var pair
                && pair.IndexOf(':', StringComparison.Ordinal) is >= 0 and var colon
                ? (pair[..colon], pair[(colon + 1)..])
                : null;
        }
        catch (Exception e) when (e is FormatException or DecoderFallbackException)
        {
            return null;
        }
    }
}
