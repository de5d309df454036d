using System.Buffers.Text;
using System.Globalization;
using System.Runtime.ExceptionServices;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Acme;

/// <summary>
/// Gets certificates from one authority (RFC 8555): account, order, challenge by HTTP-01, download; and asks it when to renew (RFC 9773).
/// It knows nothing of files, listeners and when something is due. For one use: connect, then one order.
/// </summary>
internal sealed class AcmeClient : IDisposable
{
    // What an order may take. Authorities look from several places, and some take minutes.
    private static readonly TimeSpan LongestWait = TimeSpan.FromMinutes(10);
    private static readonly TimeSpan ShortestPause = TimeSpan.FromMilliseconds(250);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(6); // unless the authority wishes a longer one
    private static readonly TimeSpan UsualAskAfter = TimeSpan.FromHours(6);

    private readonly AcmeOptions _options;
    private readonly AcmeConnection _connection;
    private readonly TimeProvider _time;
    private AcmeAnswer? _directory;
    private AccountKey? _key;

    /// <summary>Makes a client; nothing is sent yet.</summary>
    /// <exception cref="IOException">The file of authorities cannot be read. Others for files are possible too.</exception>
    public AcmeClient(AcmeOptions options, TimeProvider time) =>
        (_options, _connection, _time) = (options, new AcmeConnection(options, time), time);

    /// <summary>Whether the authority was asked to issue: what is given up from then on may be a certificate all the same.</summary>
    public bool HasFinalized { get; private set; }

    /// <summary>Reads the directory (section 7.1.1).</summary>
    /// <exception cref="AcmeException">There is none.</exception>
    public async Task ConnectAsync(CancellationToken cancellationToken)
    {
        _directory = await _connection.GetAsync(_options.Directory, cancellationToken);
        _connection.NewNonce = _directory.Get("newNonce");
    }

    /// <summary>Makes the account of this key, or finds it where there is one (section 7.3).</summary>
    /// <exception cref="AcmeException">The authority refuses it.</exception>
    public async Task RegisterAsync(AccountKey key, CancellationToken cancellationToken)
    {
        var account = new JsonObject { ["termsOfServiceAgreed"] = true };
        if (_options.Email is { } email)
        {
            account["contact"] = new JsonArray($"mailto:{email}");
        }
        _connection.Account = null;
        var answer = await _connection.PostAsync(key, _directory!.Get("newAccount"), account, cancellationToken);
        _connection.Account = answer.Location ?? throw new AcmeException("malformedAnswer", "the authority gives no account");
        _key = key;
    }

    /// <summary>Gets a certificate for a name (section 7.4).</summary>
    /// <param name="name">The name, in A-labels.</param>
    /// <param name="key">The certificate's key.</param>
    /// <param name="before">The certificate that it replaces; null where there is none.</param>
    /// <param name="publish">Answers the authority's question for a token until the result is disposed of.</param>
    /// <param name="cancellationToken">Gives it up.</param>
    /// <returns>The certificate, then its issuers.</returns>
    /// <exception cref="AcmeException">It cannot be had.</exception>
    public async Task<X509Certificate2Collection> OrderAsync(
        string name, ECDsa key, X509Certificate2? before, Func<string, string, Task<IDisposable>> publish,
        CancellationToken cancellationToken)
    {
        var made = await NewOrderAsync(name, before, cancellationToken);
        var url = made.Location ?? throw new AcmeException("malformedAnswer", "the authority gives no address of the order");
        foreach (var authorization in made.Body["authorizations"] as JsonArray ?? [])
        {
            await AuthorizeAsync($"{authorization}", name, publish, cancellationToken);
        }
        var order = await PollAsync(url, "order", "pending", null, cancellationToken);
        if (order.Get("status") == "ready")
        {
            order = await FinalizeAsync(order, url, SigningRequest(name, key), cancellationToken);
        }
        if (order.Get("status") != "valid")
        {
            throw AcmeConnection.ErrorOf(order.Body["error"] as JsonObject, $"the order is {order.Get("status")}", order.RetryAfter);
        }
        var chain = await PollAsync(order.Get("certificate"), "certificate", null, null, cancellationToken);
        return ReadChain(chain.Text, name, key);
    }

    /// <summary>When the authority wishes that a certificate is renewed; null where it does not say so.</summary>
    /// <exception cref="AcmeException">It answers with an error.</exception>
    public async Task<RenewalInformation?> FindRenewalAsync(X509Certificate2 certificate, CancellationToken cancellationToken)
    {
        if (AcmeAnswer.Find(_directory!.Body, "renewalInfo") is not { } base_ || IdentifierOf(certificate) is not { } id)
        {
            return null;
        }
        var answer = await _connection.GetAsync($"{base_.TrimEnd('/')}/{id}", cancellationToken);
        var window = answer.Body["suggestedWindow"];
        return Time(window, "start") is { } start && Time(window, "end") is { } end && start < end
            ? new RenewalInformation(start, end, answer.RetryAfter ?? UsualAskAfter) : null;
    }

    /// <inheritdoc/>
    public void Dispose() => _connection.Dispose();

    /// <summary>
    /// How RFC 9773 section 4.1 names a certificate: the identifier of the issuer's key and the serial number. Null without the former.
    /// </summary>
    internal static string? IdentifierOf(X509Certificate2 certificate)
    {
        var issuer = certificate.Extensions.OfType<X509AuthorityKeyIdentifierExtension>().FirstOrDefault()?.KeyIdentifier;
        return issuer is { } key
            ? $"{Base64Url.EncodeToString(key.Span)}.{Base64Url.EncodeToString(certificate.SerialNumberBytes.Span)}" : null;
    }

    private async Task<AcmeAnswer> NewOrderAsync(string name, X509Certificate2? before, CancellationToken cancellationToken)
    {
        JsonObject Wanted() => new() { ["identifiers"] = new JsonArray(new JsonObject { ["type"] = "dns", ["value"] = name }) };
        var url = _directory!.Get("newOrder");
        // Section 5 of RFC 9773; only where the authority knows it.
        if (before is not null && AcmeAnswer.Find(_directory.Body, "renewalInfo") is not null && IdentifierOf(before) is { } id)
        {
            var replacing = Wanted();
            replacing["replaces"] = id;
            try
            {
                return await PostAsync(url, replacing, cancellationToken);
            }
            catch (AcmeException e) when (e.Kind is "alreadyReplaced" or "malformed" or "unauthorized")
            {
                // The authority knows better than this node what became of the old one; a new one is needed all the same.
            }
        }
        return await PostAsync(url, Wanted(), cancellationToken);
    }

    // Sections 7.5 and 8.3.
    private async Task AuthorizeAsync(
        string url, string name, Func<string, string, Task<IDisposable>> publish, CancellationToken cancellationToken)
    {
        var authorization = await PostAsync(url, null, cancellationToken);
        if (authorization.Get("status") == "pending")
        {
            var challenge = (authorization.Body["challenges"] as JsonArray)?.OfType<JsonObject>()
                .FirstOrDefault(one => AcmeAnswer.Find(one, "type") == "http-01");
            var token = AcmeAnswer.Find(challenge, "token");
            var answerAt = AcmeAnswer.Find(challenge, "url");
            if (token is null || answerAt is null || !Challenges.IsToken(token))
            {
                throw new AcmeException("noChallenge", $"the authority offers no challenge HTTP-01 for '{name}'");
            }
            using var published = await publish(token, _key!.Authorize(token));
            var answer = await PostAsync(answerAt, [], cancellationToken);
            if (answer.RetryAfter is { } wish)
            {
                await Task.Delay(Least(wish, LongestWait), _time, cancellationToken);
            }
            authorization = await PollAsync(url, "authorization", "pending", null, cancellationToken);
        }
        if (authorization.Get("status") != "valid")
        {
            var error = (authorization.Body["challenges"] as JsonArray)?.OfType<JsonObject>()
                .Select(one => one["error"]).OfType<JsonObject>().FirstOrDefault();
            throw AcmeConnection.ErrorOf(error, $"the authorization is {authorization.Get("status")}", authorization.RetryAfter);
        }
    }

    private async Task<AcmeAnswer> FinalizeAsync(AcmeAnswer order, string url, byte[] request, CancellationToken cancellationToken)
    {
        HasFinalized = true;
        var payload = new JsonObject { ["csr"] = Base64Url.EncodeToString(request) };
        var (answer, fault) = await TryPostAsync(order.Get("finalize"), payload, cancellationToken);
        // Where no answer has come, what was asked may have been done all the same.
        var next = await PollAsync(url, "order", fault is null ? "ready" : "", answer, cancellationToken);
        if (fault is not null && next.Get("status") == "ready")
        {
            ExceptionDispatchInfo.Throw(fault);
        }
        return next;
    }

    /// <summary>
    /// Asks until it is neither as it was nor in work (sections 7.4 and 7.5.1). A fault that passes does not lose an order, which may have
    /// been issued already.
    /// </summary>
    /// <param name="url">What is asked.</param>
    /// <param name="what">What it is, for people.</param>
    /// <param name="before">The status that it had; null for what has none.</param>
    /// <param name="answer">What is known already; null to ask at once.</param>
    /// <param name="cancellationToken">Gives it up.</param>
    private async Task<AcmeAnswer> PollAsync(
        string url, string what, string? before, AcmeAnswer? answer, CancellationToken cancellationToken)
    {
        var started = _time.GetTimestamp();
        for (var pause = ShortestPause; ; pause = Least(pause * 2, LongestPause))
        {
            Exception? fault = null;
            if (answer is null)
            {
                (answer, fault) = await TryPostAsync(url, null, cancellationToken);
            }
            var status = before is null ? null : answer?.Get("status");
            if (answer is not null && (before is null || (status != before && status != "processing")))
            {
                return answer;
            }
            var left = LongestWait - _time.GetElapsedTime(started);
            var wish = answer?.RetryAfter ?? (fault as AcmeException)?.RetryAfter ?? TimeSpan.Zero;
            if (fault is not null && (left <= TimeSpan.Zero || wish > left))
            {
                ExceptionDispatchInfo.Throw(fault);
            }
            if (left <= TimeSpan.Zero)
            {
                throw new AcmeException(
                    "pending", $"the {what} is still {AcmeText.Clean($"{status}")} after {LongestWait.TotalMinutes:0} minutes");
            }
            await Task.Delay(Least(wish > pause ? wish : pause, left), _time, cancellationToken);
            answer = null;
        }
    }

    private async Task<(AcmeAnswer? Answer, Exception? Fault)> TryPostAsync(
        string url, JsonObject? payload, CancellationToken cancellationToken)
    {
        try
        {
            return (await PostAsync(url, payload, cancellationToken), null);
        }
        catch (Exception e) when (IsPassing(e) && !cancellationToken.IsCancellationRequested)
        {
            return (null, e);
        }
    }

    private static bool IsPassing(Exception e) =>
        e is HttpRequestException { HttpRequestError: not HttpRequestError.ConfigurationLimitExceeded } or OperationCanceledException
            or AcmeException { IsPassing: true };

    private Task<AcmeAnswer> PostAsync(string url, JsonObject? payload, CancellationToken cancellationToken) =>
        _connection.PostAsync(_key!, url, payload, cancellationToken);

    private static byte[] SigningRequest(string name, ECDsa key)
    {
        const int LongestCommonName = 64; // RFC 5280 appendix A.1
        var subject = new X500DistinguishedName(name.Length <= LongestCommonName ? $"CN={name}" : "");
        var request = new CertificateRequest(subject, key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName(name);
        request.CertificateExtensions.Add(names.Build());
        return request.CreateSigningRequest();
    }

    // Section 11.4: an authority is not trusted to send only what it should. What is kept is written anew from the certificates.
    private static X509Certificate2Collection ReadChain(string pem, string name, ECDsa key)
    {
        var chain = new X509Certificate2Collection();
        try
        {
            chain.ImportFromPem(pem);
        }
        catch (CryptographicException e)
        {
            throw new AcmeException("wrongCertificate", $"the authority has sent no certificate: {e.Message}");
        }
        using var own = chain.FirstOrDefault()?.GetECDsaPublicKey();
        if (own is null || !own.ExportSubjectPublicKeyInfo().AsSpan().SequenceEqual(key.ExportSubjectPublicKeyInfo()))
        {
            throw new AcmeException("wrongCertificate", "the authority has sent a certificate of another key");
        }
        return chain[0].MatchesHostname(name) ? chain
            : throw new AcmeException("wrongCertificate", $"the authority has sent a certificate that is not for '{name}'");
    }

    private static DateTimeOffset? Time(JsonNode? window, string name) =>
        DateTimeOffset.TryParse(AcmeAnswer.Find(window, name), CultureInfo.InvariantCulture, out var time) ? time : null;

    private static TimeSpan Least(TimeSpan one, TimeSpan other) => one < other ? one : other;
}
