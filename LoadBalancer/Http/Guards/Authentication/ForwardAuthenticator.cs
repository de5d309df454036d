using System.Net;
using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Transforms;
using LoadBalancer.Net;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http.Guards.Authentication;

/// <summary>Asks another server for each request; its refusal is the client's answer.</summary>
internal sealed partial class ForwardAuthenticator : IAuthenticator
{
    private const string RemoteUser = "Remote-User";
    private const int MaxBody = 64 * 1024;

    private readonly AuthenticationOptions _options;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly LogGate _gate;

    // Fields are bytes to us, as everywhere: Kestrel's are decoded in the same way.
    private readonly HttpClient _client = new(new SocketsHttpHandler
    {
        UseProxy = false,
        UseCookies = false,
        AllowAutoRedirect = false,
        RequestHeaderEncodingSelector = (_, _) => Encoding.Latin1,
        ResponseHeaderEncodingSelector = (_, _) => Encoding.Latin1,
    })
    {
        Timeout = System.Threading.Timeout.InfiniteTimeSpan,
    };

    /// <summary>Makes it.</summary>
    public ForwardAuthenticator(AuthenticationOptions options, TimeProvider time, ILogger logger) =>
        (_options, _time, _logger, _gate) = (options, time, logger, new LogGate(time));

    /// <inheritdoc/>
    public async ValueTask<AuthenticationResult> CheckAsync(HttpContext context, IPAddress? client)
    {
        using var late = new CancellationTokenSource(_options.Timeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, context.RequestAborted);
        try
        {
            using var question = Question(context);
            using var answer = await _client.SendAsync(question, HttpCompletionOption.ResponseHeadersRead, either.Token);
            return answer.IsSuccessStatusCode ? new(Identity(answer)) : new(null, Answer: await ReadAsync(answer, either.Token));
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException or IOException)
        {
            if (!context.RequestAborted.IsCancellationRequested && _gate.TryPass())
            {
                LogFailed(
                    AddressText.WithoutCredentials(_options.Address!),
                    late.IsCancellationRequested ? $"no answer within {_options.Timeout.TotalSeconds} s" : e.Message);
            }
            return new(null, ForwardError.AuthenticationUnavailable);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _client.Dispose();

    // Nothing else of the request goes there.
    private HttpRequestMessage Question(HttpContext context)
    {
        var request = context.Request;
        var question = new HttpRequestMessage(HttpMethod.Get, _options.Address);
        question.Headers.TryAddWithoutValidation("X-Forwarded-Method", request.Method);
        question.Headers.TryAddWithoutValidation(
            "X-Forwarded-Uri", RequestRules.OriginForm(RequestRules.TargetOf(context)).ToString());
        question.Headers.TryAddWithoutValidation("X-Forwarded-Host", request.Headers.Host.ToString());
        foreach (var name in new[] { "Cookie", "Authorization" })
        {
            if (request.Headers.TryGetValue(name, out var values))
            {
                question.Headers.TryAddWithoutValidation(name, values.AsEnumerable());
            }
        }
        return question;
    }

    private ProvedIdentity Identity(HttpResponseMessage answer)
    {
        var user = answer.Headers.NonValidated.TryGetValues(RemoteUser, out var named) ? named.ToString() : "";
        var fields = from name in _options.CopyHeaders
                     where answer.Headers.NonValidated.Contains(name)
                     from value in answer.Headers.NonValidated[name]
                     where RequestRules.IsFieldValue(value)
                     select (name, value);
        return new ProvedIdentity(user, _options.CopyHeaders, [.. fields]);
    }

    private static async Task<DecidedAnswer> ReadAsync(HttpResponseMessage answer, CancellationToken cancellationToken)
    {
        var fields = answer.Headers.NonValidated.Concat(answer.Content.Headers.NonValidated)
            .Where(field => HeaderRules.IsReturned(field.Key) && !field.Key.Equals("Content-Length", StringComparison.OrdinalIgnoreCase))
            .SelectMany(field => field.Value.Where(RequestRules.IsFieldValue).Select(value => (field.Key, value)));
        await using var stream = await answer.Content.ReadAsStreamAsync(cancellationToken);
        var body = new byte[MaxBody];
        var length = await stream.ReadAtLeastAsync(body, MaxBody, throwOnEndOfStream: false, cancellationToken);
        return new DecidedAnswer((int)answer.StatusCode, [.. fields], body[..length]);
    }

    [LoggerMessage(143, LogLevel.Warning,
        "authentication by {Address} is not available ({Reason}); requests that need it are answered 503")]
    private partial void LogFailed(string address, string reason);
}
