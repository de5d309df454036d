using System.Buffers;
using System.Net.Sockets;
using LoadBalancer.Http.Headers;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http.Upstream;

/// <summary>
/// Copies bytes in both directions after a 101 (Switching Protocols). When one side closes, the other is closed too; a tunnel in which
/// nothing moves is closed at the idle time-out.
/// </summary>
internal static class Tunnel
{
    private const int StepSize = 16 * 1024;

    /// <summary>Switches the client's connection to the other protocol too, and returns when the tunnel has ended.</summary>
    public static async Task RunAsync(HttpContext context, Http1Exchange exchange, TimeSpan idle)
    {
        var connection = exchange.Connection;
        await using var client = await SwitchAsync(context, connection.Headers);
        connection.SetDeadline(idle);

        var down = ToClientAsync(connection, client, idle);
        var up = ToBackendAsync(client, connection, idle);
        await Task.WhenAny(down, up);
        connection.Abort(AbortCause.Client); // The other direction ends with it.
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
        return new(context.Features.Get<IHttpUpgradeFeature>()!.UpgradeAsync());
    }

    private static async Task ToClientAsync(BackendConnection from, Stream to, TimeSpan idle)
    {
        try
        {
            do
            {
                var piece = from.Unread.ToArray();
                await to.WriteAsync(piece, from.Aborted);
                from.Consume(piece.Length);
                from.SetDeadline(idle);
            }
            while (from.Received(await from.ReceiveAsync()));
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or IOException or OperationCanceledException)
        {
            // One of the two sides is gone, or the idle time-out has passed.
        }
    }

    private static async Task ToBackendAsync(Stream from, BackendConnection to, TimeSpan idle)
    {
        var buffer = ArrayPool<byte>.Shared.Rent(StepSize);
        try
        {
            while (await from.ReadAsync(buffer, to.Aborted) is > 0 and var count)
            {
                await to.SendAsync(buffer.AsMemory(0, count));
                to.SetDeadline(idle);
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or IOException or OperationCanceledException)
        {
            // One of the two sides is gone, or the idle time-out has passed.
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
