using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using System.Net.Http.Headers;
using System.Runtime.CompilerServices;
using System.Text.Json.Nodes;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Tls;

namespace LoadBalancer.Cluster;

/// <summary>
/// Calls of etcd's JSON gateway: its endpoints in turn, each call with a time-out, with a token where there is a user. A call that etcd may
/// have heard is not sent again, because nobody knows whether it was done. Thread-safe.
/// </summary>
internal sealed class EtcdConnection : IDisposable
{
    private const int LargestAnswer = 16 * 1024 * 1024; // bytes
    private static readonly TimeSpan ShortestConnect = TimeSpan.FromMilliseconds(250);

    private readonly ClusterOptions _options;
    private readonly TimeProvider _time;
    private readonly Uri[] _endpoints;
    private readonly HttpClient _http;
    private int _turn; // counts; the endpoint in use is the one at its place
    private string? _token;

    /// <summary>Makes it; nothing is sent yet.</summary>
    /// <exception cref="IOException">The file of authorities cannot be read. Others for files are possible too.</exception>
    public EtcdConnection(ClusterOptions options, TimeProvider time)
    {
        (_options, _time) = (options, time);
        _endpoints = [.. options.Etcd.Select(address => new Uri(address))];
        // One call that hangs has no consequence: it begins after a third of a lease, and another one before the lease is unsafe.
        CallTimeout = options.LeaseTime / 3;
        var connect = CallTimeout / _endpoints.Length;
        var handler = new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseProxy = false,
            UseCookies = false,
            ActivityHeadersPropagator = null,
            ConnectTimeout = connect > ShortestConnect ? connect : ShortestConnect,
            SslOptions = AuthorityTrust.Of(options.AuthorityFile),
        };
        _http = new HttpClient(handler) { Timeout = Timeout.InfiniteTimeSpan, MaxResponseContentBufferSize = LargestAnswer };
    }

    /// <summary>How long a call may take: a third of the lease.</summary>
    public TimeSpan CallTimeout { get; }

    /// <summary>The endpoint that the next call goes to.</summary>
    public Uri Endpoint => _endpoints[(uint)Volatile.Read(ref _turn) % _endpoints.Length];

    /// <summary>Calls etcd.</summary>
    /// <param name="path">What is called: <c>/v3/kv/range</c>.</param>
    /// <param name="request">What is asked.</param>
    /// <param name="read">Reads the answer; a <see cref="FormatException"/> says that it is none.</param>
    /// <param name="cancellationToken">Gives it up.</param>
    /// <exception cref="EtcdException">It has failed.</exception>
    public async Task<T> CallAsync<T>(string path, JsonObject request, Func<JsonObject, T> read, CancellationToken cancellationToken)
    {
        using var timeout = new CancellationTokenSource(CallTimeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        return await InTurnAsync(
            async endpoint =>
            {
                using var response = await SendAsync(endpoint, path, request, either.Token);
                var bytes = await ReadAsync(endpoint, () => response.Content.ReadAsByteArrayAsync(either.Token));
                return Parse(endpoint, bytes, read);
            },
            cancellationToken);
    }

    /// <summary>Calls etcd for an answer of many lines, which goes on until it is cancelled or etcd ends it.</summary>
    /// <inheritdoc cref="CallAsync"/>
    public async IAsyncEnumerable<T> StreamAsync<T>(
        string path, JsonObject request, Func<JsonObject, T> read, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var endpoint = Endpoint;
        using var response = await InTurnAsync(
            async next =>
            {
                using var timeout = new CancellationTokenSource(CallTimeout, _time);
                using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
                endpoint = next;
                return await SendAsync(next, path, request, either.Token);
            },
            cancellationToken);
        var reader = PipeReader.Create(await response.Content.ReadAsStreamAsync(cancellationToken));
        while (await ReadAsync(endpoint, () => ReadLineAsync(reader, cancellationToken)) is { } line)
        {
            yield return Parse(endpoint, line, read);
        }
        await reader.CompleteAsync();
    }

    /// <summary>Uses the next endpoint, because what one answers is not all that it should say.</summary>
    /// <param name="endpoint">That one; no effect where another one is in use already.</param>
    public void Leave(Uri endpoint)
    {
        var turn = Volatile.Read(ref _turn);
        if (_endpoints[(uint)turn % _endpoints.Length] == endpoint)
        {
            Interlocked.CompareExchange(ref _turn, turn + 1, turn);
        }
    }

    /// <summary>Forgets the token, because etcd has refused it where no status says so.</summary>
    public void ForgetToken() => _token = null;

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    private async Task<T> InTurnAsync<T>(Func<Uri, Task<T>> call, CancellationToken cancellationToken)
    {
        var hasAuthenticated = false;
        for (var tries = 1; ; tries++)
        {
            var turn = Volatile.Read(ref _turn);
            var endpoint = _endpoints[(uint)turn % _endpoints.Length];
            try
            {
                return await call(endpoint);
            }
            catch (EtcdException e) when (e.IsUnauthenticated && _options.Username is not null && !hasAuthenticated)
            {
                (hasAuthenticated, _token) = (true, null);
            }
            catch (EtcdException e) when (e.IsOfEndpoint)
            {
                Interlocked.CompareExchange(ref _turn, turn + 1, turn);
                if (e.MayHaveHappened || tries >= _endpoints.Length)
                {
                    throw;
                }
            }
            catch (OperationCanceledException e) when (!cancellationToken.IsCancellationRequested)
            {
                Interlocked.CompareExchange(ref _turn, turn + 1, turn);
                throw new EtcdException($"etcd at {endpoint.Authority} has not answered within {CallTimeout.TotalSeconds:0.#} s", e)
                {
                    MayHaveHappened = true,
                    IsOfEndpoint = true,
                };
            }
        }
    }

    private async Task<HttpResponseMessage> SendAsync(Uri endpoint, string path, JsonObject request, CancellationToken cancellationToken)
    {
        if (_options.Username is not null && _token is null)
        {
            _token = await AuthenticateAsync(endpoint, cancellationToken);
        }
        return await PostAsync(endpoint, path, request, _token, cancellationToken);
    }

    private async Task<string> AuthenticateAsync(Uri endpoint, CancellationToken cancellationToken)
    {
        var password = _options.PasswordFile is not { } file ? ""
            : SecretFile.TryRead(file, out var error)
            ?? throw new EtcdException($"the user's password cannot be read from '{file}' (Cluster:PasswordFile): {error}");
        var credentials = new JsonObject { ["name"] = _options.Username, ["password"] = password };
        try
        {
            using var response = await PostAsync(endpoint, "/v3/auth/authenticate", credentials, null, cancellationToken);
            var bytes = await ReadAsync(endpoint, () => response.Content.ReadAsByteArrayAsync(cancellationToken));
            return Parse(endpoint, bytes, answer => $"{answer["token"]}");
        }
        catch (EtcdException e) when (e.Message.Contains("authentication is not enabled", StringComparison.Ordinal))
        {
            return ""; // Everybody may do everything there.
        }
    }

    private async Task<HttpResponseMessage> PostAsync(
        Uri endpoint, string path, JsonObject body, string? token, CancellationToken cancellationToken)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, new Uri(endpoint, path));
        request.Content = new ByteArrayContent(JsonText.Bytes(body));
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        if (!string.IsNullOrEmpty(token))
        {
            request.Headers.TryAddWithoutValidation("Authorization", token);
        }
        HttpResponseMessage response;
        try
        {
            response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancellationToken);
        }
        catch (HttpRequestException e)
        {
            throw Unreachable(endpoint, e);
        }
        catch (OperationCanceledException e) when (!cancellationToken.IsCancellationRequested)
        {
            throw new EtcdException($"etcd at {endpoint.Authority} cannot be reached: no connection in time", e) { IsOfEndpoint = true };
        }
        if (response.StatusCode == HttpStatusCode.OK)
        {
            return response;
        }
        using (response)
        {
            var bytes = await ReadAsync(endpoint, () => response.Content.ReadAsByteArrayAsync(cancellationToken));
            throw Refusal(endpoint, response.StatusCode, bytes);
        }
    }

    private static EtcdException Refusal(Uri endpoint, HttpStatusCode status, byte[] body)
    {
        var reason = "";
        try
        {
            reason = EtcdText.Text(EtcdText.Object(body), "error") ?? "";
        }
        catch (FormatException)
        {
            // Not of etcd: a proxy, or something else.
        }
        return new EtcdException($"etcd at {endpoint.Authority} says {(reason.Length > 0 ? reason : $"{(int)status}")}")
        {
            MayHaveHappened = (int)status >= 500,
            IsOfEndpoint = (int)status >= 500 || status == HttpStatusCode.TooManyRequests || reason.Length == 0,
            // Three words for the same: no token, one that has ended, one from before the last change of users.
            IsUnauthenticated = status == HttpStatusCode.Unauthorized
                || reason.Contains("user name is empty", StringComparison.Ordinal)
                || reason.Contains("revision of auth store is old", StringComparison.Ordinal),
        };
    }

    private static async Task<T> ReadAsync<T>(Uri endpoint, Func<Task<T>> read)
    {
        try
        {
            return await read();
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            throw Unreachable(endpoint, e);
        }
    }

    private static EtcdException Unreachable(Uri endpoint, Exception e) => new(
        $"etcd at {endpoint.Authority} cannot be reached: {EtcdText.Clean((e.InnerException ?? e).Message)}", e)
    {
        IsOfEndpoint = true,
        MayHaveHappened = e is not HttpRequestException
        {
            HttpRequestError: HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError
                or HttpRequestError.SecureConnectionError,
        },
    };

    private static T Parse<T>(Uri endpoint, byte[] bytes, Func<JsonObject, T> read)
    {
        try
        {
            return read(EtcdText.Object(bytes));
        }
        // The last three: a name twice in an object, which is found when it is looked for, and numbers out of all range.
        catch (Exception e) when (e is FormatException or ArgumentException or InvalidOperationException or OverflowException)
        {
            throw new EtcdException($"what answers at {endpoint.Authority} is not etcd 3.4 or later: {e.Message}", e)
            {
                MayHaveHappened = true,
                IsOfEndpoint = true,
            };
        }
    }

    private static async Task<byte[]?> ReadLineAsync(PipeReader reader, CancellationToken cancellationToken)
    {
        while (true)
        {
            var result = await reader.ReadAsync(cancellationToken);
            if (result.Buffer.PositionOf((byte)'\n') is { } end)
            {
                var line = result.Buffer.Slice(0, end).ToArray();
                reader.AdvanceTo(result.Buffer.GetPosition(1, end));
                return line;
            }
            if (result.Buffer.Length > LargestAnswer)
            {
                throw new IOException($"a line is longer than {LargestAnswer} bytes");
            }
            reader.AdvanceTo(result.Buffer.Start, result.Buffer.End);
            if (result.IsCompleted)
            {
                return null;
            }
        }
    }
}
