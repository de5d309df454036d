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
            await FlushAsync(from, to, idle);
        }
    }

    /// <summary>
    /// Sends the rest. Not where the whole response is still unsent: Kestrel sends it then in one piece as the request ends, and over
    /// HTTP/2 the frame with the head can end the stream.
    /// </summary>
    public static ValueTask EndAsync(Exchange from, HttpResponse to, TimeSpan idle) =>
        to.HasStarted ? FlushAsync(from, to.BodyWriter, idle) : ValueTask.CompletedTask;

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
