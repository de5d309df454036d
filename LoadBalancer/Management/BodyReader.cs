using System.Buffers;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.Extensions.Primitives;
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
    public async Task<JsonElement?> ReadJsonAsync(HttpContext context)
    {
        try
        {
            using var document = JsonDocument.Parse(await ReadAsync(context));
            return document.RootElement.Clone();
        }
        catch (JsonException)
        {
            return null;
        }
    }

    /// <summary>Reads a form.</summary>
    /// <exception cref="BadHttpRequestException">It is too large, or takes too long.</exception>
    /// <exception cref="InvalidDataException">It has too many fields.</exception>
    public async Task<Dictionary<string, StringValues>> ReadFormAsync(HttpContext context)
    {
        using var form = new FormReader(Encoding.UTF8.GetString(await ReadAsync(context)));
        return form.ReadForm();
    }

    /// <summary>Reads bytes.</summary>
    /// <exception cref="BadHttpRequestException">They are too many, or take too long.</exception>
    public async Task<byte[]> ReadAsync(HttpContext context)
    {
        // A read is woken, not cancelled by a token: Kestrel could not drain the body after that, and would log an exception.
        var body = context.Request.BodyReader;
        await using var timer = time.CreateTimer(_ => body.CancelPendingRead(), null, Timeout, System.Threading.Timeout.InfiniteTimeSpan);
        var hasWaited = false;
        while (true)
        {
            var reading = body.ReadAsync();
            hasWaited |= !reading.IsCompleted;
            var read = await reading;
            if (read.IsCompleted)
            {
                var bytes = read.Buffer.ToArray();
                body.AdvanceTo(read.Buffer.End);
                if (hasWaited)
                {
                    await Task.Yield(); // Who has brought the rest goes on here: an event loop, which other clients wait for.
                }
                return bytes;
            }
            body.AdvanceTo(read.Buffer.Start, read.Buffer.End);
            if (read.IsCanceled)
            {
                context.Response.Headers.Connection = context.Request.Protocol == HttpProtocol.Http11 ? "close" : default;
                throw new BadHttpRequestException(
                    $"the body was not there within {Timeout.TotalSeconds} s; expected as many bytes as Content-Length says",
                    Status408RequestTimeout);
            }
        }
    }
}
