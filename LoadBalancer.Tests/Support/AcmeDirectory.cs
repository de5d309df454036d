using System.Buffers.Text;
using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using LoadBalancer.Configuration.Options;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// An authority that speaks ACME as a test wants it: each request can be answered with an error. It checks no signature, but that each
/// nonce is used once, and that only a new account is asked for with its key (RFC 8555 sections 6.2 and 6.5).
/// </summary>
internal sealed class AcmeDirectory : IAsyncDisposable
{
    private readonly X509Certificate2 _authority;
    private readonly ConcurrentDictionary<string, string> _names = new(); // of orders
    private readonly ConcurrentDictionary<string, string> _certificates = new();
    private readonly ConcurrentDictionary<string, string> _nonces = new();
    private KestrelBackend _server = null!;
    private int _atOnce;
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

    /// <summary>How long to wait, which a path's answer says beside what is right; null where it does not.</summary>
    public Func<string, string?> RetryAfter { get; set; } = _ => null;

    /// <summary>What is waited for before any answer.</summary>
    public Task Held { get; set; } = Task.CompletedTask;

    /// <summary>What is sent as a certificate in place of the right one.</summary>
    public Func<string, string> Send { get; set; } = chain => chain;

    /// <summary>The name that certificates are issued for in place of the right one; null for the right one.</summary>
    public string? IssueFor { get; set; }

    /// <summary>Whether a path's right answer is lost: its connection is cut off.</summary>
    public Func<string, bool> Lose { get; set; } = _ => false;

    /// <summary>What was wrong with requests.</summary>
    public ConcurrentQueue<string> Faults { get; } = [];

    /// <summary>The most requests that were in work at once.</summary>
    public int MostAtOnce { get; private set; }

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

    /// <summary>The names of the orders so far.</summary>
    public IEnumerable<string> OrderedNames =>
        Payloads.Where(asked => asked.Path == "new-order").Select(asked => (string)asked.Payload["identifiers"]![0]!["value"]!);

    /// <summary>Orders so far.</summary>
    public int Orders => Requests.Count(path => path == "new-order");

    /// <summary>Begins to count the most requests at once anew.</summary>
    public void ForgetMost() => MostAtOnce = 0;

    public static async Task<AcmeDirectory> StartAsync(CertificateOptions? certificate = null)
    {
        var directory = new AcmeDirectory();
        directory._server = await KestrelBackend.StartAsync(directory.AnswerAsync, HttpProtocols.Http1, certificate);
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
        MostAtOnce = Math.Max(MostAtOnce, Interlocked.Increment(ref _atOnce));
        await Held;
        Interlocked.Decrement(ref _atOnce);
        var nonce = $"nonce{Interlocked.Increment(ref _count)}";
        _nonces[nonce] = nonce;
        context.Response.Headers["Replay-Nonce"] = nonce;
        var payload = context.Request.Method == "POST" ? await ReadAsync(path, context.Request.Body) : null;
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
        context.Response.Headers.RetryAfter = RetryAfter(path);
        if (Lose(path))
        {
            context.Abort();
            return;
        }
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
                return Send(_certificates[id]);
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
        if (IssueFor is not null)
        {
            var names = new SubjectAlternativeNameBuilder();
            names.AddDnsName(IssueFor);
            request.CertificateExtensions.Clear();
            request.CertificateExtensions.Add(names.Build());
        }
        request.CertificateExtensions.Add(X509AuthorityKeyIdentifierExtension.CreateFromCertificate(_authority, true, false));
        var begin = NotBefore();
        using var issued = request.Create(_authority, begin, begin + Lifetime, BitConverter.GetBytes(Interlocked.Increment(ref _count)));
        return issued.ExportCertificatePem() + "\n" + _authority.ExportCertificatePem() + "\n";
    }

    private async Task<JsonObject> ReadAsync(string path, Stream body)
    {
        var jws = (await JsonNode.ParseAsync(body))!;
        var head = JsonNode.Parse(Base64Url.DecodeFromChars((string)jws["protected"]!))!;
        if (!_nonces.TryRemove((string)head["nonce"]!, out _))
        {
            Faults.Enqueue($"{path}: the nonce {head["nonce"]} is not one that may be used");
        }
        if ((path == "new-account") != (head["jwk"] is not null) || (path != "new-account") != (head["kid"] is not null))
        {
            Faults.Enqueue($"{path}: the wrong one of jwk and kid: {head}");
        }
        var payload = (string)jws["payload"]!;
        return payload.Length == 0 ? [] : JsonNode.Parse(Base64Url.DecodeFromChars(payload))!.AsObject();
    }

    /// <summary>An error.</summary>
    internal sealed record Refusal(string Type, int Status = 400, string? RetryAfter = null, string Detail = "no");
}
