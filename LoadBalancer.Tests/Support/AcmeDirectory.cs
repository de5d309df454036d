using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace LoadBalancer.Tests.Support;

/// <summary>An authority that speaks ACME as a test wants it: each request can be answered with an error. It checks no signature.</summary>
internal sealed class AcmeDirectory : IAsyncDisposable
{
    private readonly X509Certificate2 _authority;
    private readonly ConcurrentDictionary<string, string> _names = new(); // of orders
    private readonly ConcurrentDictionary<string, string> _certificates = new();
    private KestrelBackend _server = null!;
    private int _count;

    private AcmeDirectory()
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=ACME Test", key, HashAlgorithmName.SHA256);
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        request.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(request.PublicKey, false));
        _authority = request.CreateSelfSigned(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddYears(100));
    }

    /// <summary>Its address.</summary>
    public string Address => _server.Address + "/directory";

    /// <summary>What was asked: the first part of each path.</summary>
    public ConcurrentQueue<string> Requests { get; } = [];

    /// <summary>What was signed and asked, by its path.</summary>
    public ConcurrentQueue<(string Path, JsonObject Payload)> Payloads { get; } = [];

    /// <summary>Answers a path with an error, or null for what is right.</summary>
    public Func<string, Refusal?> Refuse { get; set; } = _ => null;

    /// <summary>The status of an authorization that was asked for.</summary>
    public Func<string> Authorization { get; set; } = () => "valid";

    /// <summary>From when a certificate is valid.</summary>
    public Func<DateTimeOffset> NotBefore { get; set; } = () => default;

    /// <summary>How long it is valid.</summary>
    public TimeSpan Lifetime { get; set; } = TimeSpan.FromDays(90);

    /// <summary>The window in which certificates are to be renewed; null: it does not know of that.</summary>
    public (DateTimeOffset Start, DateTimeOffset End)? Window { get; set; }

    /// <summary>The address of accounts that it names; null for the right one.</summary>
    public string? NewAccount { get; set; }

    /// <summary>Orders so far.</summary>
    public int Orders => Requests.Count(path => path == "new-order");

    public static async Task<AcmeDirectory> StartAsync(int port = 0)
    {
        var directory = new AcmeDirectory();
        directory._server = await KestrelBackend.StartAsync(directory.AnswerAsync, HttpProtocols.Http1, port: port);
        return directory;
    }

    public async ValueTask DisposeAsync()
    {
        await _server.DisposeAsync();
        _authority.Dispose();
    }

    private async Task AnswerAsync(HttpContext context)
    {
        var parts = context.Request.Path.Value!.Split('/', StringSplitOptions.RemoveEmptyEntries);
        var (path, id) = (parts[0], parts.Length > 1 ? parts[1] : "");
        Requests.Enqueue(path);
        context.Response.Headers["Replay-Nonce"] = $"nonce{Interlocked.Increment(ref _count)}";
        var payload = context.Request.Method == "POST" ? await ReadAsync(context.Request.Body) : null;
        if (payload is not null)
        {
            Payloads.Enqueue((path, payload));
        }
        if (Refuse(path) is { } refusal)
        {
            context.Response.StatusCode = refusal.Status;
            context.Response.Headers.RetryAfter = refusal.RetryAfter;
            context.Response.ContentType = "application/problem+json";
            await context.Response.WriteAsync(
                Problem(refusal.Type, refusal.Detail).ToJsonString());
            return;
        }
        var answer = Answer(context, path, id, payload);
        await context.Response.WriteAsync(answer);
    }

    private string Answer(HttpContext context, string path, string id, JsonObject? payload)
    {
        switch (path)
        {
            case "directory":
                var urls = new JsonObject();
                string[] kinds = ["newNonce/new-nonce", "newAccount/new-account", "newOrder/new-order"];
                foreach (var kind in Window is null ? kinds : [.. kinds, "renewalInfo/renewal"])
                {
                    urls[kind.Split('/')[0]] = $"{_server.Address}/{kind.Split('/')[1]}";
                }
                urls["newAccount"] = NewAccount ?? (string?)urls["newAccount"];
                return urls.ToJsonString();
            case "new-account":
                context.Response.Headers.Location = $"{_server.Address}/account/1";
                return """{ "status": "valid" }""";
            case "new-order":
                var order = $"{Interlocked.Increment(ref _count)}";
                _names[order] = (string)payload!["identifiers"]![0]!["value"]!;
                context.Response.Headers.Location = $"{_server.Address}/order/{order}";
                context.Response.StatusCode = StatusCodes.Status201Created;
                return Order(order);
            case "authorization":
                return Authorized(id);
            case "order":
                return Order(id);
            case "finalize":
                _certificates[id] = Issue((string)payload!["csr"]!);
                return Order(id);
            case "certificate":
                return _certificates[id];
            case "renewal":
                return new JsonObject
                {
                    ["suggestedWindow"] = new JsonObject { ["start"] = $"{Window!.Value.Start:O}", ["end"] = $"{Window!.Value.End:O}" },
                }.ToJsonString();
            default:
                return "{}";
        }
    }

    private string Order(string id) => new JsonObject
    {
        ["status"] = _certificates.ContainsKey(id) ? "valid" : Payloads.Any(asked => asked.Path == "challenge") ? "ready" : "pending",
        ["authorizations"] = new JsonArray($"{_server.Address}/authorization/{id}"),
        ["finalize"] = $"{_server.Address}/finalize/{id}",
        ["certificate"] = $"{_server.Address}/certificate/{id}",
    }.ToJsonString();

    private string Authorized(string id)
    {
        var isAsked = Payloads.LastOrDefault(asked => asked.Path is "challenge" or "new-order").Path == "challenge";
        var status = isAsked ? Authorization() : "pending";
        var challenge = new JsonObject { ["type"] = "http-01", ["token"] = $"token{id}", ["url"] = $"{_server.Address}/challenge/{id}" };
        if (status == "invalid")
        {
            challenge["error"] = Problem("connection", "Connection refused");
        }
        return new JsonObject { ["status"] = status, ["challenges"] = new JsonArray(challenge) }.ToJsonString();
    }

    private static JsonObject Problem(string type, string detail) =>
        new() { ["type"] = $"urn:ietf:params:acme:error:{type}", ["detail"] = detail, ["instance"] = "https://ca.test/terms" };

    private string Issue(string csr)
    {
        var request = CertificateRequest.LoadSigningRequest(
            Base64Url.DecodeFromChars(csr), HashAlgorithmName.SHA256, CertificateRequestLoadOptions.UnsafeLoadCertificateExtensions);
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(_authority, true, false));
        var begin = NotBefore();
        using var issued = request.Create(_authority, begin, begin + Lifetime, BitConverter.GetBytes(Interlocked.Increment(ref _count)));
        return issued.ExportCertificatePem() + "\n" + _authority.ExportCertificatePem() + "\n";
    }

    private static async Task<JsonObject> ReadAsync(Stream body)
    {
        var jws = (await JsonNode.ParseAsync(body))!;
        var payload = (string)jws["payload"]!;
        return payload.Length == 0 ? [] : JsonNode.Parse(Base64Url.DecodeFromChars(payload))!.AsObject();
    }

    /// <summary>An error.</summary>
    internal sealed record Refusal(string Type, int Status = 400, string? RetryAfter = null, string Detail = "no");
}
