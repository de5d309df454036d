using System.Net;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Management;

/// <summary>
/// Decides which requests the management listener serves. On a loopback address the Host must be a loopback name, or the request must have
/// the token: a foreign page whose name resolves to 127.0.0.1 (DNS rebinding) has not, but a listener in front of this one passes on the
/// name under which it is reached. Changes must come from our own pages, or from programs. Where there is a token, everything but /health
/// and the login page requires it.
/// </summary>
internal sealed class ManagementGuard(ManagementOptions options, ManagementToken token, WrongTokens wrongTokens)
{
    private const string CookieName = "lb-management";

    private readonly bool _isLoopback = options.IsLoopback;

    /// <summary>Why a request is rejected, whatever token it has; null where it is not.</summary>
    public string? RejectionOf(HttpRequest request)
    {
        if (_isLoopback && token.IsNone && !IsLoopbackName(request.Host.Host))
        {
            return $"'{request.Host.Host}' is not a name of this machine's loopback address; expected 127.0.0.1, [::1] or localhost, "
                + "or a Token in the section Management: with one, any name is served";
        }
        return request.Method is "GET" or "HEAD" || IsOwnOrigin(request) ? null : "a page of another origin must not change anything here";
    }

    /// <summary>Whether /health, which names the backends, is answered without a token.</summary>
    public bool IsHealthOpen(HttpRequest request) => !_isLoopback || IsLoopbackName(request.Host.Host);

    /// <summary>Looks for the token in the Authorization field, or for the dashboard's cookie.</summary>
    public TokenCheck Check(HttpRequest request)
    {
        if (token.IsNone)
        {
            return TokenCheck.Right;
        }
        var bearer = request.Headers.Authorization is [{ } line] && line.StartsWith("Bearer ", StringComparison.OrdinalIgnoreCase)
            ? line["Bearer ".Length..].Trim() : null;
        var cookie = request.Cookies[CookieName];
        return bearer is null && cookie is null
            ? TokenCheck.Missing
            : wrongTokens.Check(
                request.HttpContext.Connection.RemoteIpAddress,
                () => bearer is not null && token.IsToken(bearer) || cookie is not null && token.IsCookie(cookie));
    }

    /// <summary>Looks at a token from the login page.</summary>
    public TokenCheck Check(HttpRequest request, string text) =>
        token.IsNone ? TokenCheck.Wrong : wrongTokens.Check(request.HttpContext.Connection.RemoteIpAddress, () => token.IsToken(text));

    /// <summary>Gives the browser the cookie that stands for the token.</summary>
    public void SetCookie(HttpContext context) => SetCookie(context, token.Cookie, "2592000");

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
