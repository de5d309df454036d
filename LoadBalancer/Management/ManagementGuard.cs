using System.Net;
using System.Security.Cryptography;
using System.Text;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Management;

/// <summary>
/// Decides which requests the management listener serves. On a loopback address the Host must be a loopback name: a foreign page whose
/// name resolves to 127.0.0.1 (DNS rebinding) is rejected. Changes must come from our own pages, or from programs. Where there is a
/// token, everything but /health and the files of the login page requires it.
/// </summary>
internal sealed class ManagementGuard
{
    private const string CookieName = "lb-management";

    private readonly bool _isLoopback;
    private readonly byte[]? _token;
    private readonly string? _cookie;

    /// <summary>Makes the guard of the management listener.</summary>
    public ManagementGuard(ManagementOptions options)
    {
        _isLoopback = options.IsLoopback;
        if (options.Token is { } token)
        {
            _token = Encoding.UTF8.GetBytes(token);
            // Not the token itself, because a token may have characters that a cookie may not, and browsers send a host's cookies to all
            // of its ports.
            _cookie = Convert.ToHexStringLower(HMACSHA256.HashData(_token, "the dashboard's cookie"u8));
        }
    }

    /// <summary>Why a request is rejected, with a token or without; null where it is not.</summary>
    public string? RejectionOf(HttpRequest request)
    {
        if (_isLoopback && !IsLoopbackName(request.Host.Host))
        {
            return $"'{request.Host.Host}' is not a name of this machine's loopback address; expected 127.0.0.1, [::1] or localhost";
        }
        return request.Method is "GET" or "HEAD" || IsOwnOrigin(request) ? null : "a page of another origin must not change anything here";
    }

    /// <summary>Whether a request has the token, in its Authorization field or as the dashboard's cookie, or none is required.</summary>
    public bool IsAuthorized(HttpRequest request) =>
        _token is null
        || request.Headers.Authorization is [{ } line] && line.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase)
            && IsToken(line["Bearer ".Length..].Trim())
        || request.Cookies[CookieName] is { } cookie && AreEqual(cookie, Encoding.UTF8.GetBytes(_cookie!));

    /// <summary>Whether this is the token.</summary>
    public bool IsToken(string text) => _token is not null && AreEqual(text, _token);

    /// <summary>Gives the browser the cookie that stands for the token.</summary>
    public void SetCookie(HttpContext context) => context.Response.Headers.SetCookie =
        $"{CookieName}={_cookie}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000{(context.Request.IsHttps ? "; Secure" : "")}";

    // Takes as long wherever they differ, so that the time tells nothing about the secret.
    private static bool AreEqual(string text, byte[] secret) =>
        CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(text), secret);

    private static bool IsLoopbackName(string host) =>
        host.Equals("localhost", StringComparison.OrdinalIgnoreCase)
        || IPAddress.TryParse(host.Trim('[', ']'), out var address) && IPAddress.IsLoopback(address);

    // Programs send neither field. The scheme is not compared, because another listener may end TLS before this one.
    private static bool IsOwnOrigin(HttpRequest request)
    {
        var site = request.Headers["Sec-Fetch-Site"];
        var origin = request.Headers.Origin;
        return (site.Count == 0 || site == "same-origin" || site == "none")
            && (origin.Count == 0
                || Uri.TryCreate(origin, UriKind.Absolute, out var uri)
                    && uri.Authority.Equals(request.Host.Value, StringComparison.OrdinalIgnoreCase));
    }
}
