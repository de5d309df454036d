using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;
using LoadBalancer.Pools;

namespace LoadBalancer.Management;

/// <summary>What the management listener answers: the dashboard, the API and the metrics.</summary>
internal sealed class ManagementEndpoints(
    ManagementGuard guard, Func<IReadOnlyList<BackendPool>> pools, PoolAdministration administration, EventHub events, ErrorStatistics errors, Func<string> metrics,
    IHostApplicationLifetime lifetime)
{
    private const string NotFound = "there is nothing here; expected /, /health, /status, /errors/stats, /metrics, /api/pools or /api/events";

    // Read once: what the page is made of, by the last part of its path.
    private static readonly Dictionary<string, (string Type, byte[] Bytes)> Files = Assembly.GetExecutingAssembly().GetManifestResourceNames()
        .Where(name => name.StartsWith("wwwroot/", StringComparison.Ordinal))
        .ToDictionary(name => name["wwwroot".Length..], name => (ContentType(name), ReadResource(name)));

    /// <summary>Answers a request.</summary>
    public async Task InvokeAsync(HttpContext context)
    {
        await Task.Yield(); // Off the threads that serve clients: some of this takes milliseconds.
        try
        {
            await RouteAsync(context);
        }
        catch (BadHttpRequestException e) when (!context.Response.HasStarted)
        {
            await Answer.LineAsync(context, e.StatusCode, e.StatusCode == StatusCodes.Status413PayloadTooLarge ? "the body is too large; expected a small JSON object" : e.Message);
        }
        catch (Exception e) when (e is InvalidDataException or InvalidOperationException && !context.Response.HasStarted) // a form or a text that is none
        {
            await Answer.LineAsync(context, StatusCodes.Status400BadRequest, "the body cannot be read; expected UTF-8, and no more than was asked for");
        }
    }

    private Task RouteAsync(HttpContext context)
    {
        var (request, path) = (context.Request, context.Request.Path.Value ?? "/");
        if (guard.Fault(request) is { } fault)
        {
            return Answer.LineAsync(context, StatusCodes.Status403Forbidden, fault);
        }
        AddSecurityHeaders(context.Response.Headers);
        if (path == "/health" && IsRead(request))
        {
            return Answer.HealthAsync(context, pools(), lifetime);
        }
        if (path is not ("/" or "/index.html" or "/login.html") && IsRead(request) && Files.TryGetValue(path, out var file))
        {
            return Answer.BytesAsync(context, StatusCodes.Status200OK, file.Type, file.Bytes);
        }
        if (path == "/login")
        {
            return LoginAsync(context);
        }
        if (!guard.IsAuthorized(request))
        {
            context.Response.Headers.WWWAuthenticate = "Bearer";
            return path == "/" && IsRead(request)
                ? Answer.BytesAsync(context, StatusCodes.Status401Unauthorized, "text/html; charset=utf-8", Files["/login.html"].Bytes)
                : Answer.LineAsync(context, StatusCodes.Status401Unauthorized, "the token is missing or wrong; expected Authorization: Bearer TOKEN");
        }
        if (path.Split('/') is ["", "api", "pools", var pool, "backends", var backend])
        {
            return ChangeAsync(context, Name(pool), Name(backend));
        }
        if (!IsRead(request))
        {
            return Answer.LineAsync(context, StatusCodes.Status405MethodNotAllowed, $"{request.Method} is for /api/pools/{{pool}}/backends/{{backend}} only; expected GET");
        }
        return path switch
        {
            "/" => Answer.BytesAsync(context, StatusCodes.Status200OK, "text/html; charset=utf-8", Files["/index.html"].Bytes),
            "/status" => Answer.JsonAsync(context, StatusCodes.Status200OK, StatusJson.Status(pools())),
            "/errors/stats" => Answer.JsonAsync(context, StatusCodes.Status200OK, StatusJson.Errors(errors.Summary())),
            "/api/pools" => Answer.JsonAsync(context, StatusCodes.Status200OK, new JsonObject { ["pools"] = events.Pools() }),
            "/api/events" => events.ServeAsync(context, lifetime.ApplicationStopping),
            "/metrics" => Answer.BytesAsync(context, StatusCodes.Status200OK, "text/plain; version=0.0.4; charset=utf-8", System.Text.Encoding.UTF8.GetBytes(metrics())),
            _ => Answer.LineAsync(context, StatusCodes.Status404NotFound, NotFound),
        };
    }

    private async Task LoginAsync(HttpContext context)
    {
        var request = context.Request;
        if (request.Method != HttpMethods.Post || request.ContentType?.StartsWith("application/x-www-form-urlencoded", StringComparison.OrdinalIgnoreCase) != true)
        {
            await Answer.LineAsync(context, StatusCodes.Status405MethodNotAllowed, "expected a POST of a form with the field token");
            return;
        }
        var isRight = guard.IsToken((await request.ReadFormAsync(context.RequestAborted))["token"].ToString());
        if (isRight)
        {
            guard.SetCookie(context);
        }
        context.Response.StatusCode = StatusCodes.Status303SeeOther;
        context.Response.Headers.Location = isRight ? "/" : "/?wrong-token";
    }

    private async Task ChangeAsync(HttpContext context, string poolName, string backendName)
    {
        if (pools().FirstOrDefault(candidate => candidate.Name.Equals(poolName, StringComparison.OrdinalIgnoreCase)) is not { } pool)
        {
            await Answer.LineAsync(context, StatusCodes.Status404NotFound, $"there is no pool '{poolName}'; expected one of {Names(pools().Select(other => other.Name))}");
            return;
        }
        // Workers may have names that differ in case alone.
        var backend = pool.Snapshot.Members.FirstOrDefault(member => member.Name == backendName)
            ?? pool.Snapshot.Members.FirstOrDefault(member => member.Name.Equals(backendName, StringComparison.OrdinalIgnoreCase));
        var method = context.Request.Method;
        if (backend is null && method != HttpMethods.Put)
        {
            await Answer.LineAsync(context, StatusCodes.Status404NotFound, $"pool '{pool.Name}' has no backend '{backendName}'; expected one of {Names(pool.Snapshot.Members.Select(member => member.Name))}");
            return;
        }
        switch (method)
        {
            case "GET" or "HEAD":
                await Answer.JsonAsync(context, StatusCodes.Status200OK, events.Backend(backend!));
                break;
            case "PATCH":
                await AnswerChangeAsync(context, await ReadAsync(context), json => administration.Patch(pool, backend!, json));
                break;
            case "PUT":
                await AnswerChangeAsync(context, await ReadAsync(context), json => administration.Put(pool, backend?.Name ?? backendName, json));
                break;
            case "DELETE":
                administration.Delete(pool, backend!);
                await Answer.JsonAsync(context, StatusCodes.Status202Accepted, events.Backend(backend!));
                break;
            default:
                await Answer.LineAsync(context, StatusCodes.Status405MethodNotAllowed, $"{method} is not for backends; expected GET, PATCH, PUT or DELETE");
                break;
        }
    }

    private Task AnswerChangeAsync(HttpContext context, JsonElement? json, Func<JsonElement, (Backend? Backend, string Fault)> change)
    {
        if (json is not { ValueKind: JsonValueKind.Object } body)
        {
            return Answer.LineAsync(context, StatusCodes.Status400BadRequest, "the body is not a JSON object; expected for example {\"adminState\":\"Draining\"}");
        }
        var (backend, fault) = change(body);
        return backend is null ? Answer.LineAsync(context, StatusCodes.Status400BadRequest, fault) : Answer.JsonAsync(context, StatusCodes.Status200OK, events.Backend(backend));
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

    // Nothing but our own files, in no frame of anybody's.
    private static void AddSecurityHeaders(IHeaderDictionary headers)
    {
        headers.ContentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
        headers.XContentTypeOptions = "nosniff";
        headers["Referrer-Policy"] = "same-origin"; // Not no-referrer: the login form would then come from the origin "null".
    }

    // All of a path is decoded by now but the slash (RFC 3986 section 2.2).
    private static string Name(string segment) => segment.Replace("%2F", "/", StringComparison.OrdinalIgnoreCase);

    private static bool IsRead(HttpRequest request) => request.Method is "GET" or "HEAD";

    private static string Names(IEnumerable<string> names) => string.Join(", ", names.Select(name => $"'{name}'").DefaultIfEmpty("(there is none)"));

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
