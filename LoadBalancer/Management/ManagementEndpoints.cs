using System.Reflection;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;
using static Microsoft.AspNetCore.Http.StatusCodes;

namespace LoadBalancer.Management;

/// <summary>What the management listener answers: the dashboard, the API and the metrics.</summary>
internal sealed class ManagementEndpoints(
    ManagementGuard guard, Func<IReadOnlyList<BackendPool>> pools, PoolAdministration administration, EventHub events,
    ErrorStatistics errors, Func<string> metrics, IHostApplicationLifetime lifetime)
{
    private const string Html = "text/html; charset=utf-8";
    private const string PrometheusType = "text/plain; version=0.0.4; charset=utf-8";
    private const string Form = "application/x-www-form-urlencoded";
    private const string NotFound =
        "there is nothing here; expected /, /health, /status, /errors/stats, /metrics, /api/pools or /api/events";

    // The files of the dashboard, by path; read once.
    private static readonly Dictionary<string, (string Type, byte[] Bytes)> Files = Assembly.GetExecutingAssembly()
        .GetManifestResourceNames()
        .Where(name => name.StartsWith("wwwroot/", StringComparison.Ordinal))
        .ToDictionary(name => name["wwwroot".Length..], name => (ContentType(name), ReadResource(name)));

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
            await Answer.LineAsync(context, e.StatusCode, line);
        }
        catch (Exception e) when (e is InvalidDataException or InvalidOperationException && !context.Response.HasStarted)
        {
            // The body is no form, or no text.
            await Answer.LineAsync(context, Status400BadRequest, "the body cannot be read; expected UTF-8, and no more than was asked for");
        }
    }

    private Task RouteAsync(HttpContext context)
    {
        var (request, path) = (context.Request, context.Request.Path.Value ?? "/");
        if (guard.RejectionOf(request) is { } reason)
        {
            return Answer.LineAsync(context, Status403Forbidden, reason);
        }
        AddSecurityHeaders(context.Response.Headers);
        if (path == "/health" && IsRead(request))
        {
            return Answer.HealthAsync(context, pools(), lifetime);
        }
        if (path is not ("/" or "/index.html" or "/login.html") && IsRead(request) && Files.TryGetValue(path, out var file))
        {
            return Answer.BytesAsync(context, Status200OK, file.Type, file.Bytes);
        }
        if (path == "/login")
        {
            return LoginAsync(context);
        }
        if (!guard.IsAuthorized(request))
        {
            context.Response.Headers.WWWAuthenticate = "Bearer";
            return path == "/" && IsRead(request)
                ? Answer.BytesAsync(context, Status401Unauthorized, Html, Files["/login.html"].Bytes)
                : Answer.LineAsync(context, Status401Unauthorized, "the token is missing or wrong; expected Authorization: Bearer TOKEN");
        }
        if (path.Split('/') is ["", "api", "pools", var pool, "backends", var backend])
        {
            return ChangeAsync(context, Name(pool), Name(backend));
        }
        if (!IsRead(request))
        {
            return Answer.LineAsync(
                context, Status405MethodNotAllowed, $"{request.Method} is for /api/pools/{{pool}}/backends/{{backend}} only; expected GET");
        }
        return path switch
        {
            "/" => Answer.BytesAsync(context, Status200OK, Html, Files["/index.html"].Bytes),
            "/status" => Answer.JsonAsync(context, Status200OK, StatusJson.Status(pools())),
            "/errors/stats" => Answer.JsonAsync(context, Status200OK, StatusJson.Errors(errors.Summary())),
            "/api/pools" => Answer.JsonAsync(context, Status200OK, new JsonObject { ["pools"] = events.Pools() }),
            "/api/events" => events.ServeAsync(context, lifetime.ApplicationStopping),
            "/metrics" => Answer.BytesAsync(context, Status200OK, PrometheusType, Encoding.UTF8.GetBytes(metrics())),
            _ => Answer.LineAsync(context, Status404NotFound, NotFound),
        };
    }

    private async Task LoginAsync(HttpContext context)
    {
        var request = context.Request;
        if (request.Method != HttpMethods.Post || request.ContentType?.StartsWith(Form, StringComparison.OrdinalIgnoreCase) != true)
        {
            await Answer.LineAsync(context, Status405MethodNotAllowed, "expected a POST of a form with the field token");
            return;
        }
        var isRight = guard.IsToken((await request.ReadFormAsync(context.RequestAborted))["token"].ToString());
        if (isRight)
        {
            guard.SetCookie(context);
        }
        context.Response.StatusCode = Status303SeeOther;
        context.Response.Headers.Location = isRight ? "/" : "/?wrong-token";
    }

    private async Task ChangeAsync(HttpContext context, string poolName, string backendName)
    {
        if (pools().FirstOrDefault(candidate => candidate.Name.Equals(poolName, StringComparison.OrdinalIgnoreCase)) is not { } pool)
        {
            var known = Names(pools().Select(other => other.Name));
            await Answer.LineAsync(context, Status404NotFound, $"there is no pool '{poolName}'; expected one of {known}");
            return;
        }
        // Workers may have names that differ in case alone.
        var backend = pool.Snapshot.Members.FirstOrDefault(member => member.Name == backendName)
            ?? pool.Snapshot.Members.FirstOrDefault(member => member.Name.Equals(backendName, StringComparison.OrdinalIgnoreCase));
        var method = context.Request.Method;
        if (backend is null && method != HttpMethods.Put)
        {
            var known = Names(pool.Snapshot.Members.Select(member => member.Name));
            await Answer.LineAsync(
                context, Status404NotFound, $"pool '{pool.Name}' has no backend '{backendName}'; expected one of {known}");
            return;
        }
        switch (method)
        {
            case "GET" or "HEAD":
                await Answer.JsonAsync(context, Status200OK, events.Backend(backend!));
                break;
            case "PATCH":
                await AnswerChangeAsync(context, await ReadAsync(context), json => administration.Patch(pool, backend!, json));
                break;
            case "PUT":
                var name = backend?.Name ?? backendName;
                await AnswerChangeAsync(context, await ReadAsync(context), json => administration.Put(pool, name, json));
                break;
            case "DELETE":
                administration.Delete(pool, backend!);
                await Answer.JsonAsync(context, Status202Accepted, events.Backend(backend!));
                break;
            default:
                await Answer.LineAsync(
                    context, Status405MethodNotAllowed, $"{method} is not for backends; expected GET, PATCH, PUT or DELETE");
                break;
        }
    }

    private Task AnswerChangeAsync(HttpContext context, JsonElement? json, Func<JsonElement, (Backend? Backend, string Error)> change)
    {
        if (json is not { ValueKind: JsonValueKind.Object } body)
        {
            return Answer.LineAsync(
                context, Status400BadRequest, "the body is not a JSON object; expected for example {\"adminState\":\"Draining\"}");
        }
        var (backend, error) = change(body);
        return backend is null
            ? Answer.LineAsync(context, Status400BadRequest, error)
            : Answer.JsonAsync(context, Status200OK, events.Backend(backend));
    }

    private static async Task<JsonElement?> ReadAsync(HttpContext context)
    {
        try
        {
            using var document = await JsonDocument.ParseAsync(context.Request.Body, default, context.RequestAborted);
            return document.RootElement.Clone();
        }
        catch (JsonException)
        {
            return null;
        }
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

    // Everything in the path is decoded already except the slash (RFC 3986 section 2.2).
    private static string Name(string segment) => segment.Replace("%2F", "/", StringComparison.OrdinalIgnoreCase);

    private static bool IsRead(HttpRequest request) => request.Method is "GET" or "HEAD";

    private static string Names(IEnumerable<string> names) =>
        string.Join(", ", names.Select(name => $"'{name}'").DefaultIfEmpty("(there is none)"));

    private static string ContentType(string name) => Path.GetExtension(name) switch
    {
        ".html" => "text/html; charset=utf-8",
        ".css" => "text/css; charset=utf-8",
        ".js" => "text/javascript; charset=utf-8",
        ".svg" => "image/svg+xml",
        _ => "application/octet-stream",
    };

    private static byte[] ReadResource(string name)
    {
        using var stream = Assembly.GetExecutingAssembly().GetManifestResourceStream(name)!;
        using var bytes = new MemoryStream();
        stream.CopyTo(bytes);
        return bytes.ToArray();
    }
}
