using System.Buffers;
using System.IO.Pipelines;
using System.Net.Sockets;
using LoadBalancer.Http.Headers;
using LoadBalancer.Transport.Kestrel;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http.Upstream.Exchanges;

/// <summary>
/// Copies bytes in both directions after a 101 (Switching Protocols). When one side closes, the other is closed too; a tunnel in which
/// nothing moves is closed at the idle time-out.
/// </summary>
internal static class Tunnel
{
    private const int StepSize = 16 * 1024;

    // How long a backend has to end the tunnel after its client has.
    private static readonly TimeSpan CloseTimeout = TimeSpan.FromSeconds(5);

    /// <summary>Switches the client's connection to the other protocol too, and returns when the tunnel has ended.</summary>
    /// <param name="context">The client's request.</param>
    /// <param name="from">The backend's exchange; what it sends is its body.</param>
    /// <param name="to">The backend, for what the client sends.</param>
    /// <param name="fields">The fields of the response.</param>
    /// <param name="idle">How long nothing may move.</param>
    public static async Task RunAsync(HttpContext context, Exchange from, IUploadTarget to, HeaderLines fields, TimeSpan idle)
    {
        await using var client = await SwitchAsync(context, fields);
        from.SetDeadline(idle);

        var down = ToClientAsync(from, client, idle);
        var up = ToBackendAsync(client, to, idle);
        await Task.WhenAny(down, up);
        if (up.IsCompleted && await up)
        {
            to.SetDeadline(CloseTimeout); // A reset now could overtake what the client has sent last.
            await down;
        }
        to.Abort(AbortCause.Client); // The other direction ends with it.
        await Task.WhenAll(down, up);
    }

    private static ValueTask<Stream> SwitchAsync(HttpContext context, HeaderLines fields)
    {
        if (HttpMethods.IsConnect(context.Request.Method))
        {
            context.Response.StatusCode = StatusCodes.Status200OK; // RFC 8441 section 5: HTTP/2 has neither 101 nor a key.
            context.Response.Headers.Remove(HeaderNames.SecWebSocketAccept);
            return context.Features.Get<IHttpExtendedConnectFeature>()!.AcceptAsync();
        }
        context.Response.Headers.Upgrade = // The client may have offered several protocols, of which the backend has chosen one.
            Enumerable.Range(0, fields.Count).Select(i => fields[i])
                .FirstOrDefault(field => field.Name.Equals(HeaderNames.Upgrade, StringComparison.OrdinalIgnoreCase))?.Value
            ?? context.Request.Headers.Upgrade;
        context.Features.Get<RequestBoundary>()?.IsTunnel = true; // Before the 101, which the client may answer with its end at once.
        return new(context.Features.Get<IHttpUpgradeFeature>()!.UpgradeAsync());
    }

    private static async Task ToClientAsync(Exchange from, Stream client, TimeSpan idle)
    {
        var to = PipeWriter.Create(client, new StreamPipeWriterOptions(leaveOpen: true));
        try
        {
            while (await from.ReadPieceAsync(to) is > 0 and var count)
            {
                from.BytesRelayed += count;
                await to.FlushAsync(from.Aborted);
                from.SetDeadline(idle);
            }
        }
        catch (Exception e) when (IsEnd(e))
        {
            // One of the two sides is gone, or the idle time-out has passed.
        }
    }

    private static bool IsEnd(Exception e) =>
        e is SocketException or ObjectDisposedException or IOException or OperationCanceledException or MalformedResponseException;

    // Returns whether the client has ended in order, and the backend knows it.
    private static async Task<bool> ToBackendAsync(Stream from, IUploadTarget to, TimeSpan idle)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(StepSize);
        try
        {
            while (await from.ReadAsync(buffer, to.Aborted) is > 0 and var count)
            {
                await to.SendAsync(buffer.AsMemory(0, count), isLast: false);
                to.Flush();
                to.SetDeadline(idle);
            }
            if (to.CanEndTunnel)
            {
                await to.EndAsync([]);
            }
            return to.CanEndTunnel;
        }
        catch (Exception e) when (IsEnd(e))
        {
            return false; // One of the two sides is gone, or the idle time-out has passed.
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
