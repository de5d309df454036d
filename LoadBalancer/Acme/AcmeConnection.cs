using System.Net.Http.Headers;
using System.Text.Json.Nodes;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Tls;

namespace LoadBalancer.Acme;

/// <summary>Signed requests to one authority, with the nonces that they need (RFC 8555 section 6). One request at a time.</summary>
internal sealed class AcmeConnection : IDisposable
{
    // An authority may forget nonces at any time, for example when it is restarted.
    private const int MostNonces = 12;
    private const int LargestAnswer = 1024 * 1024;
    private const string ErrorPrefix = "urn:ietf:params:acme:error:";

    private static readonly TimeSpan RequestTimeout = TimeSpan.FromSeconds(30);

    private readonly HttpClient _http;
    private readonly TimeProvider _time;
    private readonly string _scheme;
    private string? _nonce;

    /// <summary>Makes the connection; nothing is sent yet.</summary>
    /// <exception cref="IOException">The file of authorities cannot be read. Others for files are possible too.</exception>
    public AcmeConnection(AcmeOptions options, TimeProvider time)
    {
        (_time, _scheme) = (time, new Uri(options.Directory).Scheme);
        var handler = new SocketsHttpHandler { AllowAutoRedirect = false, SslOptions = AuthorityTrust.Of(options.AuthorityFile) };
        _http = new HttpClient(handler) { Timeout = RequestTimeout, MaxResponseContentBufferSize = LargestAnswer };
        _http.DefaultRequestHeaders.UserAgent.Add(new ProductInfoHeaderValue("LoadBalancer", BuildInformation.Version.Split('+')[0]));
    }

    /// <summary>The address for new nonces; to be set before anything is posted.</summary>
    public string NewNonce { get; set; } = "";

    /// <summary>The address of the account; null before it is known.</summary>
    public string? Account { get; set; }

    /// <summary>Asks without a signature, as for the directory.</summary>
    /// <exception cref="AcmeException">The answer is an error.</exception>
    public async Task<AcmeAnswer> GetAsync(string url, CancellationToken cancellationToken)
    {
        using var response = await _http.GetAsync(AddressOf(url), cancellationToken);
        return await ReadAsync(response, cancellationToken);
    }

    /// <summary>Sends a signed request; again where the authority does not take the nonce (section 6.5).</summary>
    /// <param name="key">Signs it.</param>
    /// <param name="url">Where to.</param>
    /// <param name="payload">What is asked; null to read only.</param>
    /// <param name="cancellationToken">Gives it up.</param>
    /// <exception cref="AcmeException">The answer is an error.</exception>
    public async Task<AcmeAnswer> PostAsync(AccountKey key, string url, JsonObject? payload, CancellationToken cancellationToken)
    {
        var address = AddressOf(url);
        for (var attempt = 1; ; attempt++)
        {
            var nonce = _nonce ?? await NextNonceAsync(cancellationToken);
            _nonce = null; // Each is for one request.
            using var content = new ByteArrayContent(key.Sign(url, nonce, Account, payload));
            content.Headers.ContentType = new MediaTypeHeaderValue("application/jose+json");
            using var response = await _http.PostAsync(address, content, cancellationToken);
            _nonce = NonceOf(response);
            try
            {
                return await ReadAsync(response, cancellationToken);
            }
            catch (AcmeException e) when (e.Kind == "badNonce" && attempt < MostNonces)
            {
                // With the one of this answer.
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    // Section 6.1: always https. An address that the authority names leads nowhere where what is sent could be read.
    private Uri AddressOf(string url) => Uri.TryCreate(url, UriKind.Absolute, out var address) && address.Scheme == _scheme ? address
        : throw new AcmeException("wrongAddress", $"the authority names '{AcmeText.Clean(url)}', which is no address with {_scheme}://");

    private async Task<string> NextNonceAsync(CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Head, AddressOf(NewNonce));
        using var response = await _http.SendAsync(request, cancellationToken);
        if (!response.IsSuccessStatusCode)
        {
            await ReadAsync(response, cancellationToken);
        }
        return NonceOf(response) ?? throw new AcmeException("malformedAnswer", "the authority gives no Replay-Nonce");
    }

    private static string? NonceOf(HttpResponseMessage response) =>
        response.Headers.TryGetValues("Replay-Nonce", out var values) ? values.First() : null;

    private async Task<AcmeAnswer> ReadAsync(HttpResponseMessage response, CancellationToken cancellationToken)
    {
        var text = await response.Content.ReadAsStringAsync(cancellationToken);
        var retryAfter = RetryAfterOf(response);
        if (response.IsSuccessStatusCode)
        {
            return new AcmeAnswer(text, response.Headers.Location?.OriginalString, retryAfter);
        }
        var status = (int)response.StatusCode;
        throw ErrorOf(AcmeAnswer.TryParse(text), $"{status}", retryAfter, isPassing: status is 429 or >= 500);
    }

    /// <summary>The error that a problem document (RFC 7807) says.</summary>
    /// <param name="problem">The document; null where there is none.</param>
    /// <param name="otherwise">What went wrong where it does not say so.</param>
    /// <param name="retryAfter">How long to wait.</param>
    /// <param name="isPassing">Whether the same question may get another answer soon.</param>
    public static AcmeException ErrorOf(JsonObject? problem, string otherwise, TimeSpan? retryAfter, bool isPassing = false)
    {
        var type = AcmeAnswer.Find(problem, "type") is { } name && name.StartsWith(ErrorPrefix, StringComparison.Ordinal)
            ? name[ErrorPrefix.Length..] : otherwise;
        var (kind, detail) = (AcmeText.Clean(type), AcmeAnswer.Find(problem, "detail") is { } words ? $": {AcmeText.Clean(words)}" : "");
        var terms = kind == "userActionRequired" && AcmeAnswer.Find(problem, "instance") is { } page
            ? $"; somebody must agree to the terms of service at {AcmeText.Clean(page)}" : "";
        return new AcmeException(kind, $"the authority says {kind}{detail}{terms}") { RetryAfter = retryAfter, IsPassing = isPassing };
    }

    private TimeSpan? RetryAfterOf(HttpResponseMessage response)
    {
        TimeSpan? wish = response.Headers.RetryAfter switch
        {
            { Delta: { } delta } => delta,
            // Of the two clocks the one of the answer is the one that the date is of.
            { Date: { } date } => date - (response.Headers.Date ?? _time.GetUtcNow()),
            _ => null,
        };
        return wish < TimeSpan.Zero ? TimeSpan.Zero : wish;
    }
}
