using System.Globalization;
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
    ManagementGuard guard, BodyReader bodies, Func<IReadOnlyList<BackendPool>> pools, PoolAdministration administration, EventHub events,
    ErrorStatistics errors, Func<string> metrics, NodeControl node, Func<JsonObject>? cluster, IHostApplicationLifetime lifetime)
{
    private const string Html = "text/html; charset=utf-8";
    private const string PrometheusType = "text/plain; version=0.0.4; charset=utf-8";
    private const string Form = "application/x-www-form-urlencoded";
    private const string Read = "GET, HEAD";
    private const string NotFound =
        "there is nothing here; expected /, /health, /status, /errors/stats, /metrics, /openapi.json, "
        + "/api/pools, /api/routes, /api/events, /api/node, /api/cluster, /api/reload or /api/upgrade";

    // The files of the dashboard, by path; read once.
    private static readonly Dictionary<string, (string Type, byte[] Bytes)> Files = Assembly.GetExecutingAssembly()
        .GetManifestResourceNames()
        .Where(name => name.StartsWith("wwwroot/", StringComparison.Ordinal))
        .ToDictionary(name => name["wwwroot".Length..], name => (ContentType(name), ReadResource(name)));

    private static readonly byte[] OpenApi = ReadResource("openapi.json");

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
        // Before anything of a body is read.
        var check = guard.Check(request);
        if (check != TokenCheck.Right)
        {
            return RefuseAsync(context, check, hasPage: path == "/" && IsRead(request));
        }
        if (path.Split('/') is ["", "api", "pools", var pool, "backends", var backend])
        {
            return ChangeAsync(context, Name(pool), Name(backend));
        }
        if (path.Split('/') is ["", "api", "pools", var listed, "backends"])
        {
            return ListAsync(context, Name(listed));
        }
        if (path == "/api/reload")
        {
            return request.Method == HttpMethods.Post ? node.ReloadAsync(context)
                : RefuseMethodAsync(context, "POST", "expected a POST, which needs no body");
        }
        if (path == "/api/upgrade")
        {
            return request.Method == HttpMethods.Post ? node.UpgradeAsync(context, bodies)
                : RefuseMethodAsync(context, "POST", "expected a POST, which needs no body");
        }
        Func<Task>? answer = path switch
        {
            "/" => () => Answer.BytesAsync(context, Status200OK, Html, Files["/index.html"].Bytes),
            "/health" => () => Answer.HealthAsync(context, pools(), lifetime),
            "/status" => () => Answer.JsonAsync(context, Status200OK, StatusJson.Status(pools())),
            "/errors/stats" => () => Answer.JsonAsync(context, Status200OK, StatusJson.Errors(errors.Summary())),
            "/api/pools" => () => Answer.JsonAsync(context, Status200OK, new JsonObject { ["pools"] = events.Pools() }),
            "/api/routes" => () => Answer.JsonAsync(context, Status200OK, new JsonObject { ["routes"] = events.Routes() }),
            "/api/node" => () => Answer.JsonAsync(context, Status200OK, node.Describe()),
            "/api/cluster" => () => cluster is null ? Answer.JsonAsync(context, Status404NotFound, NoCluster())
                : Answer.JsonAsync(context, Status200OK, cluster()),
            "/openapi.json" => () => Answer.BytesAsync(context, Status200OK, "application/json", OpenApi),
            "/api/events" => () => events.ServeAsync(context, lifetime.ApplicationStopping),
            "/metrics" => () => Answer.BytesAsync(context, Status200OK, PrometheusType, Encoding.UTF8.GetBytes(metrics())),
            _ => null,
        };
        return answer is null && !Files.ContainsKey(path) ? Answer.ErrorAsync(context, Status404NotFound, NotFound)
            : !IsRead(request) ? RefuseMethodAsync(
                context, Read, $"{request.Method} is for /api/pools/{{pool}}/backends/{{backend}} only; expected GET")
            : answer?.Invoke() ?? Answer.ErrorAsync(context, Status404NotFound, NotFound);
    }

    private static JsonObject NoCluster() =>
        new() { ["error"] = "this node is in no cluster; the configuration has no LoadBalancer:Cluster" };

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

    private static Task RefuseMethodAsync(HttpContext context, string allowed, string line)
    {
        context.Response.Headers.Allow = allowed;
        return Answer.ErrorAsync(context, Status405MethodNotAllowed, line);
    }

    private async Task LoginAsync(HttpContext context)
    {
        var request = context.Request;
        if (request.Method != HttpMethods.Post)
        {
            await RefuseMethodAsync(context, "POST", "expected a POST of a form with the field token");
            return;
        }
        if (request.ContentType?.StartsWith(Form, StringComparison.OrdinalIgnoreCase) != true)
        {
            await Answer.ErrorAsync(context, Status415UnsupportedMediaType, $"expected a form ({Form}) with the field token");
            return;
        }
        var check = guard.Check(request, (await bodies.ReadFormAsync(context)).GetValueOrDefault("token").ToString());
        if (check == TokenCheck.Paused)
        {
            await RefusePausedAsync(context);
            return;
        }
        if (check == TokenCheck.Right)
        {
            guard.SetCookie(context);
        }
        context.Response.StatusCode = Status303SeeOther;
        context.Response.Headers.Location = check == TokenCheck.Right ? "/" : "/?wrong-token";
    }

    private BackendPool? FindPool(string name) =>
        pools().FirstOrDefault(candidate => candidate.Name.Equals(name, StringComparison.OrdinalIgnoreCase));

    private Task RefusePoolAsync(HttpContext context, string name) => Answer.ErrorAsync(
        context, Status404NotFound, $"there is no pool '{name}'; expected one of {Names(pools().Select(other => other.Name))}");

    // The shape of PoolOptions.BackendsFile, with more fields.
    private Task ListAsync(HttpContext context, string poolName) =>
        !IsRead(context.Request) ? RefuseMethodAsync(
            context, Read, $"{context.Request.Method} is for /api/pools/{{pool}}/backends/{{backend}} only; expected GET")
        : FindPool(poolName) is not { } pool ? RefusePoolAsync(context, poolName)
        : Answer.JsonAsync(context, Status200OK, new JsonArray([.. pool.Snapshot.Members.Select(events.Backend)]));

    private async Task ChangeAsync(HttpContext context, string poolName, string backendName)
    {
        if (FindPool(poolName) is not { } pool)
        {
            await RefusePoolAsync(context, poolName);
            return;
        }
        // Workers may have names that differ in case alone.
        var backend = pool.Snapshot.Members.FirstOrDefault(member => member.Name == backendName)
            ?? pool.Snapshot.Members.FirstOrDefault(member => member.Name.Equals(backendName, StringComparison.OrdinalIgnoreCase));
        var method = context.Request.Method;
        if (backend is null && method != HttpMethods.Put)
        {
            var known = Names(pool.Snapshot.Members.Select(member => member.Name));
            await Answer.ErrorAsync(
                context, Status404NotFound, $"pool '{pool.Name}' has no backend '{backendName}'; expected one of {known}");
            return;
        }
        if (method is "PATCH" or "PUT" or "DELETE" && node.IsBeingReplaced)
        {
            await Answer.ErrorAsync(
                context, Status409Conflict,
                "this process is being replaced, and the change would be lost; try again over a new connection");
            return;
        }
        switch (method)
        {
            case "GET" or "HEAD":
                await Answer.JsonAsync(context, Status200OK, events.Backend(backend!));
                break;
            case "PATCH":
                await AnswerChangeAsync(
                    context, await bodies.ReadJsonAsync(context), json => administration.PatchAsync(pool, backend!, json));
                break;
            case "PUT":
                var name = backend?.Name ?? backendName;
                await AnswerChangeAsync(context, await bodies.ReadJsonAsync(context), json => administration.PutAsync(pool, name, json));
                break;
            case "DELETE":
                await AnswerAsync(context, Status202Accepted, await administration.DeleteAsync(pool, backend!));
                break;
            default:
                await RefuseMethodAsync(
                    context, "GET, HEAD, PATCH, PUT, DELETE", $"{method} is not for backends; expected GET, PATCH, PUT or DELETE");
                break;
        }
    }

    private async Task AnswerChangeAsync(HttpContext context, JsonElement? json, Func<JsonElement, Task<ChangeResult>> change)
    {
        if (json is not { ValueKind: JsonValueKind.Object } body)
        {
            await Answer.ErrorAsync(
                context, Status400BadRequest, "the body is not a JSON object; expected for example {\"adminState\":\"Draining\"}");
            return;
        }
        await AnswerAsync(context, Status200OK, await change(body));
    }

    private Task AnswerAsync(HttpContext context, int status, ChangeResult result) =>
        result.Backend is { } backend ? Answer.JsonAsync(context, status, events.Backend(backend))
        : Answer.ErrorAsync(context, result.IsUnavailable ? Status503ServiceUnavailable : Status400BadRequest, result.Error);

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
