using System.Net;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Management;

/// <summary>
/// Decides which requests the management listener serves. On a loopback address the Host must be a loopback name, or the request must have
/// the token: a foreign page whose name resolves to 127.0.0.1 (DNS rebinding) has not, but a listener in front of this one passes on the
/// name under which it is reached. Changes must come from our own pages, or from programs. Where there is a token, everything but /health
/// and the login page requires it.
/// </summary>
internal sealed class ManagementGuard(ManagementOptions options, ManagementTokens tokens, WrongTokens wrongTokens)
{
    private const string CookieName = "lb-management";

    private readonly bool _isLoopback = options.IsLoopback;

    /// <summary>Why a request is rejected, whatever token it has; null where it is not.</summary>
    public string? RejectionOf(HttpRequest request)
    {
        if (_isLoopback && tokens.IsNone && !IsLoopbackName(request.Host.Host))
        {
            return $"'{request.Host.Host}' is not a name of this machine's loopback address; expected 127.0.0.1, [::1] or localhost, "
                + "or a Token in the section Management: with one, any name is served";
        }
        return request.Method is "GET" or "HEAD" || IsOwnOrigin(request) ? null : "a page of another origin must not change anything here";
    }

    /// <summary>Whether /health, which names the backends, is answered without a token.</summary>
    public bool IsHealthOpen(HttpRequest request) => !_isLoopback || IsLoopbackName(request.Host.Host);

    /// <summary>Looks for a token in the Authorization field, or for the dashboard's cookie.</summary>
    /// <param name="request">The request.</param>
    /// <param name="user">The user, where the token is right.</param>
    public TokenCheck Check(HttpRequest request, out ManagementUser user)
    {
        user = ManagementUser.Nameless;
        if (tokens.IsNone)
        {
            return TokenCheck.Right;
        }
        var bearer = request.Headers.Authorization is [{ } line] && line.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase)
            ? line["Bearer ".Length..].Trim() : null;
        var cookie = request.Cookies[CookieName];
        if (bearer is null && cookie is null)
        {
            return TokenCheck.Missing;
        }
        ManagementToken? found = null;
        var check = wrongTokens.Check(
            request.HttpContext.Connection.RemoteIpAddress,
            () => (found = (bearer is null ? null : tokens.Find(bearer)) ?? (cookie is null ? null : tokens.FindByCookie(cookie)))
                is not null);
        user = found?.User ?? user;
        return check;
    }

    /// <summary>Looks at a token from the login page. If it is right, the browser gets the cookie that stands for it.</summary>
    public TokenCheck LogIn(HttpContext context, string text)
    {
        if (tokens.IsNone)
        {
            return TokenCheck.Wrong;
        }
        ManagementToken? found = null;
        var check = wrongTokens.Check(context.Connection.RemoteIpAddress, () => (found = tokens.Find(text)) is not null);
        if (found is not null)
        {
            SetCookie(context, found.Cookie, "2592000");
        }
        return check;
    }

    /// <summary>Takes a cookie back that is not right any more, so that the browser does not go on trying it.</summary>
    public static void DeleteCookie(HttpContext context)
    {
        if (context.Request.Cookies.ContainsKey(CookieName))
        {
            SetCookie(context, "", "0");
        }
    }

    private static void SetCookie(HttpContext context, string? value, string maxAge)
    {
        // A listener in front of this one ends TLS and says so. Who says so without need gets a cookie that is of less use to him.
        var isSecure = context.Request.IsHttps || context.Request.Headers["X-Forwarded-Proto"] == "https";
        context.Response.Headers.SetCookie =
            $"{CookieName}={value}; Path=/; HttpOnly; SameSite=Strict; Max-Age={maxAge}{(isSecure ? "; Secure" : "")}";
    }

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
