using System.Globalization;
using System.Reflection;
using LoadBalancer.Configuration.Options;
using static Microsoft.AspNetCore.Http.StatusCodes;

namespace LoadBalancer.Management;

/// <summary>What the management listener answers: the dashboard, the login, and what is behind the token.</summary>
internal sealed class ManagementEndpoints(ManagementGuard guard, ManagementParts parts)
{
    private const string Html = "text/html; charset=utf-8";
    private const string Form = "application/x-www-form-urlencoded";
    private const string Read = "GET, HEAD";
    private const string NotFound =
        "there is nothing here; expected /, /health, /status, /errors/stats, /metrics, or a path of the API: see /openapi.json";

    // The files of the dashboard, by path; read once.
    private static readonly Dictionary<string, (string Type, byte[] Bytes)> Files = Assembly.GetExecutingAssembly()
        .GetManifestResourceNames()
        .Where(name => name.StartsWith("wwwroot/", StringComparison.Ordinal))
        .ToDictionary(name => name["wwwroot".Length..], name => (ContentType(name), EmbeddedFile.Read(name)));

    /// <summary>What is behind the token; openapi.json has the same.</summary>
    public static IReadOnlyList<ApiEndpoint> Api { get; } =
        [.. NodeApi.Endpoints, .. PoolApi.Endpoints, .. PastApi.Endpoints, .. AuditApi.Endpoints, .. ConfigurationApi.Endpoints];

    /// <summary>Answers a request.</summary>
    public async Task InvokeAsync(HttpContext context)
    {
        await Task.Yield(); // Off the event loops that serve clients, because some of this takes milliseconds.
        try
        {
            await RouteAsync(context);
        }
        catch (BadHttpRequestException e) when (!context.Response.HasStarted)
        {
            var line = e.StatusCode == Status413PayloadTooLarge ? "the body is too large; expected a small JSON object" : e.Message;
            await Answer.ErrorAsync(context, e.StatusCode, line);
        }
        catch (Exception e) when (e is InvalidDataException or InvalidOperationException && !context.Response.HasStarted)
        {
            // The body is no form, or no text.
            await Answer.ErrorAsync(
                context, Status400BadRequest, "the body cannot be read; expected UTF-8, and no more than was asked for");
        }
    }

    private Task RouteAsync(HttpContext context)
    {
        var (request, path) = (context.Request, context.Request.Path.Value ?? "/");
        if (guard.RejectionOf(request) is { } reason)
        {
            return Answer.ErrorAsync(context, Status403Forbidden, reason);
        }
        AddSecurityHeaders(context.Response.Headers);
        if (path == "/health" && IsRead(request) && guard.IsHealthOpen(request))
        {
            return Answer.HealthAsync(context, parts.Pools(), parts.Lifetime);
        }
        if (path is not ("/" or "/index.html" or "/login.html") && IsRead(request) && Files.TryGetValue(path, out var file))
        {
            return Answer.BytesAsync(context, Status200OK, file.Type, file.Bytes);
        }
        if (path == "/login")
        {
            return LoginAsync(context);
        }
        // Before anything of a body is read.
        var check = guard.Check(request, out var user);
        if (check != TokenCheck.Right)
        {
            return RefuseAsync(context, check, hasPage: path == "/" && IsRead(request));
        }
        if (path == "/" || Files.ContainsKey(path))
        {
            return !IsRead(request) ? Answer.OtherMethodAsync(context, Read)
                : path == "/" ? Answer.BytesAsync(context, Status200OK, Html, Files["/index.html"].Bytes)
                : Answer.ErrorAsync(context, Status404NotFound, NotFound);
        }
        var segments = path.Split('/');
        var found = Api.Where(endpoint => endpoint.Matches(segments)).ToList();
        return found.Count == 0 ? Answer.ErrorAsync(context, Status404NotFound, NotFound)
            : found.FirstOrDefault(endpoint => endpoint.Methods.Contains(request.Method)) is not { } wanted
                ? Answer.OtherMethodAsync(context, string.Join(", ", found.SelectMany(endpoint => endpoint.Methods)))
            : !wanted.IsRead && user.Role == ManagementRole.Viewer ? RefuseRoleAsync(context, user)
            : wanted.Answer(new ApiRequest(context, parts, user, wanted.NamesIn(segments)));
    }

    private static Task RefuseRoleAsync(HttpContext context, ManagementUser user) => Answer.ErrorAsync(
        context, Status403Forbidden,
        $"the token '{user.Name}' has the role {user.Role}, which may only read; expected a token with the role {ManagementRole.Operator}");

    private static Task RefuseAsync(HttpContext context, TokenCheck check, bool hasPage)
    {
        if (check == TokenCheck.Paused)
        {
            return RefusePausedAsync(context);
        }
        ManagementGuard.DeleteCookie(context);
        context.Response.Headers.WWWAuthenticate = "Bearer";
        return hasPage
            ? Answer.BytesAsync(context, Status401Unauthorized, Html, Files["/login.html"].Bytes)
            : Answer.ErrorAsync(context, Status401Unauthorized, "the token is missing or wrong; expected Authorization: Bearer TOKEN");
    }

    private static Task RefusePausedAsync(HttpContext context)
    {
        var seconds = WrongTokens.TryInterval.TotalSeconds.ToString(CultureInfo.InvariantCulture);
        context.Response.Headers.RetryAfter = seconds;
        return Answer.ErrorAsync(
            context, Status429TooManyRequests, $"too many wrong tokens came from your address; try again after {seconds} s");
    }

    private async Task LoginAsync(HttpContext context)
    {
        var request = context.Request;
        if (request.Method != HttpMethods.Post)
        {
            await Answer.OtherMethodAsync(context, "POST");
            return;
        }
        if (request.ContentType?.StartsWith(Form, StringComparison.OrdinalIgnoreCase) != true)
        {
            await Answer.ErrorAsync(context, Status415UnsupportedMediaType, $"expected a form ({Form}) with the field token");
            return;
        }
        var check = guard.LogIn(context, (await parts.Bodies.ReadFormAsync(context)).GetValueOrDefault("token").ToString());
        if (check == TokenCheck.Paused)
        {
            await RefusePausedAsync(context);
            return;
        }
        context.Response.StatusCode = Status303SeeOther;
        context.Response.Headers.Location = check == TokenCheck.Right ? "/" : "/?wrong-token";
    }

    // The page may load our own files only, and must not be put into a frame.
    private static void AddSecurityHeaders(IHeaderDictionary headers)
    {
        headers.ContentSecurityPolicy =
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; "
            + "base-uri 'none'; frame-ancestors 'none'";
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "same-origin"; // With no-referrer the login form would come from the origin "null".
    }

    private static bool IsRead(HttpRequest request) => request.Method is "GET" or "HEAD";

    private static string ContentType(string name) => Path.GetExtension(name) switch
    {
        ".html" => "text/html; charset=utf-8",
        ".css" => "text/css; charset=utf-8",
        ".js" => "text/javascript; charset=utf-8",
        ".svg" => "image/svg+xml",
        _ => "application/octet-stream",
    };
}
