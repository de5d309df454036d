using LoadBalancer.Pools;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Primitives;

namespace LoadBalancer.Http;

/// <summary>Copies a backend's response to the client, byte by byte as it comes.</summary>
internal static class ResponseCopier
{
    // One read of a socket rarely yields more; larger bodies take larger steps from Kestrel's own buffers.
    private const int ReadSize = 16 * 1024;

    /// <summary>Copies status and header fields, less those between two neighbours.</summary>
    public static void CopyHead(HttpResponseMessage from, HttpResponse to)
    {
        to.StatusCode = (int)from.StatusCode;
        if (from.ReasonPhrase is { } reason && reason != ReasonPhrases.GetReasonPhrase(to.StatusCode))
        {
            to.HttpContext.Features.Get<IHttpResponseFeature>()!.ReasonPhrase = reason;
        }
        var named = from.Headers.NonValidated.TryGetValues("Connection", out var connection)
            ? HeaderRules.NamedByConnection(new StringValues([.. connection]))
            : null;
        Copy(from.Headers.NonValidated, to.Headers, named);
        Copy(from.Content.Headers.NonValidated, to.Headers, named);
    }

    /// <summary>Streams the body; every piece is on its way to the client before the next is read.</summary>
    /// <returns>Null where the body is whole, or the client is gone; else what the backend did wrong.</returns>
    public static async Task<string?> CopyBodyAsync(
        HttpResponseMessage from, HttpContext context, TimeSpan idle, CancellationTokenSource deadline, CancellationToken cancel)
    {
        var writer = context.Response.BodyWriter;
        try
        {
            await using var body = await from.Content.ReadAsStreamAsync(cancel);
            var left = context.Response.ContentLength ?? long.MaxValue;
            while (left > 0)
            {
                deadline.CancelAfter(idle);
                var read = await body.ReadAsync(writer.GetMemory(ReadSize), cancel);
                if (read == 0)
                {
                    return null;
                }
                writer.Advance(read);
                left -= read;
                if (left > 0)
                {
                    await writer.FlushAsync(cancel);
                }
            }
            return null;
        }
        catch (Exception) when (context.RequestAborted.IsCancellationRequested)
        {
            return null;
        }
        catch (Exception e) when (e is IOException or HttpRequestException or OperationCanceledException)
        {
            return deadline.IsCancellationRequested ? "no byte moved for " + idle : FailureReason.Of(e);
        }
    }

    private static void Copy(System.Net.Http.Headers.HttpHeadersNonValidated from, IHeaderDictionary to, HashSet<string>? named)
    {
        foreach (var (name, values) in from)
        {
            if (!HeaderRules.IsHopByHop(name) && named?.Contains(name) != true)
            {
                to[name] = values.Count == 1 ? values.ToString() : new StringValues([.. values]);
            }
        }
    }
}
