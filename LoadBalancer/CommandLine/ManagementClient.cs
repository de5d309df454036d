using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;

namespace LoadBalancer.CommandLine;

/// <summary>Talks to the management API of a running node.</summary>
internal sealed class ManagementClient : IDisposable
{
    // A change of the configuration may take long.
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(30);

    private readonly TimeSpan _silence;
    private readonly HttpClient _http;
    private readonly Uri _address;

    /// <summary>Connects with the first request.</summary>
    /// <param name="address">Where the management listener is; <c>unix:/path</c> where that is a Unix socket.</param>
    /// <param name="token">Its token; null or empty where it has none.</param>
    /// <param name="silence">How long an answer may take; null for 30 s.</param>
    public ManagementClient(Uri address, string? token, TimeSpan? silence)
    {
        (_address, _silence) = (address, silence ?? Silence);
        // A proxy of the environment is for other servers; a redirect would take the token elsewhere.
        var handler = new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false, UseCookies = false };
        if (EndpointAddress.TryParse(address.OriginalString, out var unix, out _) && unix.IsUnix)
        {
            handler.ConnectCallback = (_, cancel) => ConnectAsync(unix.UnixEndPoint, cancel);
            address = new Uri(unix.HttpUrl);
        }
        _http = new HttpClient(handler) { BaseAddress = address, Timeout = _silence };
        _http.DefaultRequestHeaders.Accept.Add(new MediaTypeWithQualityHeaderValue("application/json"));
        if (!string.IsNullOrEmpty(token))
        {
            _http.DefaultRequestHeaders.Authorization = new AuthenticationHeaderValue("Bearer", token);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    /// <summary>Sends a request, and returns the JSON that answers it.</summary>
    /// <exception cref="CommandException">The node refuses, or cannot be reached.</exception>
    public async Task<JsonNode> SendAsync(HttpMethod method, string path, JsonNode? body, CancellationToken cancel)
    {
        using var content = body is null ? null : new StringContent(JsonText.Of(body), Encoding.UTF8, "application/json");
        return await SendContentAsync(method, path, content, cancel);
    }

    /// <summary>The same, with any body.</summary>
    /// <exception cref="CommandException">The node refuses, or cannot be reached.</exception>
    public async Task<JsonNode> SendContentAsync(HttpMethod method, string path, HttpContent? body, CancellationToken cancel)
    {
        using var request = new HttpRequestMessage(method, path) { Content = body };
        using var response = await ReachAsync(() => _http.SendAsync(request, cancel), cancel);
        var text = await ReachAsync(() => response.Content.ReadAsStringAsync(cancel), cancel);
        var json = Parse(text);
        // A refused reload says more than one line.
        return json is not null && (response.IsSuccessStatusCode || response.StatusCode == HttpStatusCode.UnprocessableEntity) ? json
            : throw new CommandException(CommandException.Refused, Refusal(response, json));
    }

    /// <summary>The data of server-sent events, each with its event's name, until the node ends the stream.</summary>
    /// <exception cref="CommandException">The node refuses, or cannot be reached.</exception>
    public async IAsyncEnumerable<(string Name, JsonNode Data)> ReadEventsAsync(
        string path, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancel)
    {
        using var request = new HttpRequestMessage(HttpMethod.Get, path);
        using var response = await ReachAsync(() => _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, cancel), cancel);
        if (!response.IsSuccessStatusCode)
        {
            var text = await ReachAsync(() => response.Content.ReadAsStringAsync(cancel), cancel);
            throw new CommandException(CommandException.Refused, Refusal(response, Parse(text)));
        }
        using var reader = new StreamReader(await ReachAsync(() => response.Content.ReadAsStreamAsync(cancel), cancel));
        var name = "";
        // An event comes each second.
        Task<string?> ReadLineAsync() => reader.ReadLineAsync(cancel).AsTask().WaitAsync(Silence, TimeProvider.System, cancel);
        while (await ReachAsync(ReadLineAsync, cancel) is { } line)
        {
            if (line.StartsWith("event: ", StringComparison.Ordinal))
            {
                name = line["event: ".Length..];
            }
            else if (line.StartsWith("data: ", StringComparison.Ordinal) && Parse(line["data: ".Length..]) is { } data)
            {
                yield return (name, data);
            }
        }
    }

    private async Task<T> ReachAsync<T>(Func<Task<T>> step, CancellationToken cancel)
    {
        try
        {
            return await step();
        }
        catch (Exception e) when (!cancel.IsCancellationRequested
            && e is HttpRequestException or IOException or TimeoutException or OperationCanceledException)
        {
            var reason = e switch
            {
                TimeoutException or OperationCanceledException => $"no answer within {_silence.TotalSeconds} s",
                HttpRequestException { InnerException: SocketException socket } => socket.Message,
                HttpRequestException { InnerException: System.Security.Authentication.AuthenticationException tls } => tls.Message,
                _ => e.Message,
            };
            throw new CommandException(
                CommandException.NotReachable,
                $"the management listener at {_address} cannot be reached: {reason}. "
                + "Is --management right, and does the node run?");
        }
    }

    private static async ValueTask<Stream> ConnectAsync(UnixDomainSocketEndPoint address, CancellationToken cancel)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(address, cancel);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch (Exception e)
        {
            socket.Dispose();
            // The framework's word for ENOENT.
            throw e is SocketException { SocketErrorCode: SocketError.AddressNotAvailable } ? new NoSuchSocketException() : e;
        }
    }

    private static JsonNode? Parse(string text)
    {
        try
        {
            return JsonNode.Parse(text);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static string Refusal(HttpResponseMessage response, JsonNode? json)
    {
        var line = json is JsonObject error ? error["error"]?.ToString() : null;
        return response.StatusCode == HttpStatusCode.Unauthorized
            ? "the token is missing or wrong; give it with --token or in LOADBALANCER_TOKEN"
            : line ?? $"{(int)response.StatusCode} {response.ReasonPhrase}: this is no management listener";
    }
}
