using System.IO.Pipelines;

namespace LoadBalancer.Http.Upstream.Exchanges;

/// <summary>Moves the body of a response to the client, piece by piece, under the idle time-out: the same for all HTTP versions.</summary>
internal static class BodyCopy
{
    /// <summary>Copies all pieces. Each is sent to the client before the next is waited for.</summary>
    public static async Task CopyAsync(Exchange from, PipeWriter to, TimeSpan idle)
    {
        while (await from.ReadPieceAsync(to) is > 0 and var count)
        {
            from.BytesRelayed += count;
            if (from.Compressed is not { HasAll: true })
            {
                await FlushAsync(from, to, idle);
            }
        }
    }

    /// <summary>Ends the body of a response that can have trailers; they are sent where the client accepts them.</summary>
    public static ValueTask WriteTrailersAsync(
        Exchange from, IEnumerable<(string Name, string Value)> trailers, HttpResponse to, bool isFramed)
    {
        if (from.Compressed is { } compressed)
        {
            return compressed.EndAsync(trailers);
        }
        ClientFraming.WriteTrailers(trailers, to, isFramed);
        return ValueTask.CompletedTask;
    }

    /// <summary>
    /// Sends the rest. Not where the whole response is still unsent: Kestrel sends it then in one piece as the request ends, and over
    /// HTTP/2 the frame with the head can end the stream.
    /// </summary>
    public static ValueTask EndAsync(Exchange from, HttpResponse to, TimeSpan idle) =>
        from.Compressed is { } compressed ? EndAsync(from, compressed, to, idle)
        : to.HasStarted ? FlushAsync(from, to.BodyWriter, idle)
        : ValueTask.CompletedTask;

    private static async ValueTask EndAsync(Exchange from, CompressedBody compressed, HttpResponse to, TimeSpan idle)
    {
        await compressed.EndAsync([]);
        if (to.HasStarted)
        {
            await FlushAsync(from, compressed, idle);
        }
    }

    /// <summary>Sends what was written to the client. Where it does not read, the idle time-out is not the backend's fault.</summary>
    public static async ValueTask FlushAsync(Exchange from, PipeWriter to, TimeSpan idle)
    {
        from.SetDeadline(idle);
        from.AwaitsClient = true;
        var flushing = to.FlushAsync(from.Aborted);
        if (flushing.IsCompletedSuccessfully)
        {
            _ = flushing.Result;
        }
        else
        {
            await from.AwaitClientAsync(flushing);
        }
        from.AwaitsClient = false;
        from.SetDeadline(idle);
    }
}
