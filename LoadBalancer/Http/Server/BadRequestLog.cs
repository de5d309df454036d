using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using LoadBalancer.Diagnostics;
using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Net;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http.Server;

/// <summary>
/// Logs and counts the requests that Kestrel rejects itself (400, 408, 431, …), before a pipeline could see them, and has the response
/// completed (<see cref="BadRequestTransport"/>). Kestrel reports them by a diagnostic event only. The line in the log has what Kestrel
/// has read of the request by then, and <c>-</c> for the rest.
/// </summary>
internal sealed class BadRequestLog(
    string listener, AccessLog? log, Func<AccessLogLayout> layout, ErrorStatistics? errors, TimeProvider time)
    : DiagnosticSource
{
    private const string BadRequest = "Microsoft.AspNetCore.Server.Kestrel.BadRequest";

    /// <inheritdoc/>
    public override bool IsEnabled(string name) => name == BadRequest;

    /// <inheritdoc/>
    [UnconditionalSuppressMessage("Trimming", "IL2046", Justification = "it does not look at the value by reflection")]
    public override void Write(string name, object? value)
    {
        if (name != BadRequest || value is not IFeatureCollection features
            || features.Get<IBadRequestExceptionFeature>()?.Error is not BadHttpRequestException error)
        {
            return;
        }
        var request = features.Get<IHttpRequestFeature>();
        if (features.Get<IHttpResponseFeature>() is { HasStarted: false }
            && features.Get<IConnectionTransportFeature>()?.Transport is BadRequestTransport transport
            && !HttpProtocol.IsHttp2(request?.Protocol ?? ""))
        {
            transport.Hold(isHead: request?.Method == HttpMethods.Head);
        }
        // A request that the pipeline has seen is logged when it is over.
        if (!RequestSlot.IsKnown(features))
        {
            var status = BadRequestTransport.StatusOf(error.StatusCode);
            errors?.Add(status, ErrorPlace.OfListener(listener), null, null, "the request is malformed, too large or too slow");
            var isHttp2 = HttpProtocol.IsHttp2(request?.Protocol ?? ""); // where the response has no body
            log?.Write(new AccessRecord
            {
                Layout = layout(),
                Time = time.GetUtcNow(),
                Client = features.Get<IHttpConnectionFeature>()?.RemoteIpAddress?.Unmap(),
                Method = OrDash(request?.Method),
                Target = OrDash(request?.RawTarget),
                Protocol = OrDash(request?.Protocol),
                Status = status,
                Bytes = isHttp2 ? 0 : BadRequestTransport.Body(status).Length,
            });
        }
    }

    /// <summary>Logs and counts a request over HTTP/2 that was refused without a response.</summary>
    /// <param name="client">The client.</param>
    /// <param name="status">The status that fits.</param>
    /// <param name="cause">Why, in one line.</param>
    public void OnReset(IPAddress? client, int status, string cause)
    {
        errors?.Add(status, ErrorPlace.OfListener(listener), null, null, cause);
        log?.Write(new AccessRecord
        {
            Layout = layout(),
            Time = time.GetUtcNow(),
            Client = client?.Unmap(),
            Method = "-",
            Target = "-",
            Protocol = "HTTP/2",
            Status = status,
        });
    }

    private static string OrDash(string? text) => string.IsNullOrEmpty(text) ? "-" : text;
}
