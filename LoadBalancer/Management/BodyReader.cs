using System.Text.Json;
using static Microsoft.AspNetCore.Http.StatusCodes;

namespace LoadBalancer.Management;

/// <summary>
/// Reads the bodies of requests to the management listener: small ones, that must be there within <see cref="Timeout"/>. A client that
/// does not send the rest would hold its connection, and the stop of the node, for ever.
/// </summary>
internal sealed class BodyReader(TimeProvider time)
{
    /// <summary>How long a body may take as a whole; then the request is answered 408.</summary>
    public static readonly TimeSpan Timeout = TimeSpan.FromSeconds(10);

    /// <summary>Reads JSON.</summary>
    /// <returns>Null where it is none.</returns>
    /// <exception cref="BadHttpRequestException">It is too large, or takes too long.</exception>
    public Task<JsonElement?> ReadJsonAsync(HttpContext context) => ReadAsync<JsonElement?>(context, async cancellationToken =>
    {
        try
        {
            using var document = await JsonDocument.ParseAsync(context.Request.Body, default, cancellationToken);
            return document.RootElement.Clone();
        }
        catch (JsonException)
        {
            return null;
        }
    });

    /// <summary>Reads a form.</summary>
    /// <exception cref="BadHttpRequestException">It is too large, or takes too long.</exception>
    /// <exception cref="InvalidDataException">It has too many fields, or is none.</exception>
    public Task<IFormCollection> ReadFormAsync(HttpContext context) => ReadAsync(context, context.Request.ReadFormAsync);

    private async Task<T> ReadAsync<T>(HttpContext context, Func<CancellationToken, Task<T>> read)
    {
        using var late = new CancellationTokenSource(Timeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, context.RequestAborted);
        try
        {
            return await read(either.Token);
        }
        catch (OperationCanceledException) when (late.IsCancellationRequested && !context.RequestAborted.IsCancellationRequested)
        {
            context.Response.Headers.Connection = context.Request.Protocol == HttpProtocol.Http11 ? "close" : default;
            throw new BadHttpRequestException(
                $"the body was not there within {Timeout.TotalSeconds} s; expected as many bytes as Content-Length says",
                Status408RequestTimeout);
        }
    }
}
