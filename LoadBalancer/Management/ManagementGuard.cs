using System.Net;
using System.Security.Cryptography;
using System.Text;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Management;

/// <summary>
/// Who may come in. On a loopback address only under a loopback name: a page of somebody else's whose name was made to mean 127.0.0.1
/// (DNS rebinding) is refused. Changes only from pages of our own, or from programs. And where there is a token, everything but
/// /health and what the login page is made of wants it.
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
            // Not the token itself: a token may have characters that a cookie may not, and browsers send cookies to every port of a host.
            _cookie = Convert.ToHexStringLower(HMACSHA256.HashData(_token, "the dashboard's cookie"u8));
        }
    }

    /// <summary>Why a request is refused whatever it wants; null where it is not.</summary>
    public string? Fault(HttpRequest request)
    {
        if (_isLoopback && !IsLoopbackName(request.Host.Host))
        {
            return $"'{request.Host.Host}' is not a name of this machine's loopback address; expected 127.0.0.1, [::1] or localhost";
        }
        return request.Method is "GET" or "HEAD" || IsOwnOrigin(request) ? null : "a page of another origin must not change anything here";
    }

    /// <summary>Whether a request brings the token, in its Authorization field or in the dashboard's cookie; or there is none to bring.</summary>
    public bool IsAuthorized(HttpRequest request) =>
        _token is null
        || request.Headers.Authorization is [{ } line] && line.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase) && IsToken(line["Bearer ".Length..].Trim())
        || request.Cookies[CookieName] is { } cookie && CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(cookie), Encoding.UTF8.GetBytes(_cookie!));

    /// <summary>Whether this is the token.</summary>
    public bool IsToken(string text) => _token is not null && CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(text), _token);

    /// <summary>Gives the browser the cookie that stands for the token.</summary>
    public void SetCookie(HttpContext context) => context.Response.Headers.SetCookie =
        $"{CookieName}={_cookie}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000{(context.Request.IsHttps ? "; Secure" : "")}";

    private static bool IsLoopbackName(string host) =>
        host.Equals("localhost", StringComparison.OrdinalIgnoreCase) || IPAddress.TryParse(host.Trim('[', ']'), out var address) && IPAddress.IsLoopback(address);

    // Programs send neither field. The scheme is not compared: somebody may end TLS before us.
    private static bool IsOwnOrigin(HttpRequest request)
    {
        var site = request.Headers["Sec-Fetch-Site"];
        var origin = request.Headers.Origin;
        return (site.Count == 0 || site == "same-origin" || site == "none")
            && (origin.Count == 0 || Uri.TryCreate(origin, UriKind.Absolute, out var uri) && uri.Authority.Equals(request.Host.Value, StringComparison.OrdinalIgnoreCase));
    }
}
