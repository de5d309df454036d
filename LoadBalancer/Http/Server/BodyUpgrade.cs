using System.Text;
using LoadBalancer.Http.Messages;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.WebUtilities;

namespace LoadBalancer.Http.Server;

/// <summary>
/// Switches the connection of a request with a body to another protocol, which Kestrel does not: <c>docker exec</c> sends a POST with
/// <c>Upgrade: tcp</c>. When the body was read, the bytes that follow it are the tunnel's; Kestrel writes nothing more to the connection,
/// and closes it after the tunnel.
/// </summary>
internal sealed class BodyUpgrade(HttpContext context, BadRequestTransport transport) : IHttpUpgradeFeature
{
    /// <inheritdoc/>
    public bool IsUpgradableRequest => true;

    /// <summary>Makes it the request's way to be upgraded, where the client asks for that and the request has a body.</summary>
    public static void Offer(HttpContext context)
    {
        var (features, headers) = (context.Features, context.Request.Headers);
        if (headers.Upgrade.Count > 0 && HttpProtocol.IsHttp11(context.Request.Protocol)
            && RequestRules.CanHaveBody(context)
            && features.Get<IHttpUpgradeFeature>() is { IsUpgradableRequest: false }
            && headers.Connection.Any(line => line!.Contains("upgrade", StringComparison.OrdinalIgnoreCase))
            && features.Get<IConnectionTransportFeature>()?.Transport is BadRequestTransport transport)
        {
            features.Set<IHttpUpgradeFeature>(new BodyUpgrade(context, transport));
        }
    }

    /// <inheritdoc/>
    public async Task<Stream> UpgradeAsync()
    {
        var response = context.Response;
        var head = new StringBuilder("HTTP/1.1 101 ").Append(
            context.Features.Get<IHttpResponseFeature>()!.ReasonPhrase is { Length: > 0 } reason
                ? reason : ReasonPhrases.GetReasonPhrase(StatusCodes.Status101SwitchingProtocols));
        head.Append("\r\nConnection: Upgrade\r\n");
        foreach (var (name, values) in response.Headers)
        {
            foreach (var value in values)
            {
                head.Append(name).Append(": ").Append(value).Append("\r\n");
            }
        }
        response.Headers.Clear();
        response.Headers.Connection = "close";
        var pipe = transport.TakeOver();
        await pipe.Output.WriteAsync(Encoding.Latin1.GetBytes(head.Append("\r\n").ToString()), context.RequestAborted);
        return new PipeStream(pipe);
    }
}
