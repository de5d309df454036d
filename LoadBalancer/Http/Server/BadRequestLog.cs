using System.Diagnostics;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Net;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Hosting.Server.Abstractions;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http.Server;

/// <summary>
/// Logs and counts the requests that Kestrel rejects itself (400, 408, 431, …), before a pipeline could see them, and has the response
/// completed (<see cref="BadRequestTransport"/>). Kestrel reports them by a diagnostic event only. The line in the log has what Kestrel
/// has read of the request by then, and <c>-</c> for the rest.
/// </summary>
internal sealed class BadRequestLog(string listener, AccessLog? log, AccessLogFormat format, ErrorStatistics? errors, TimeProvider time)
    : DiagnosticSource
{
    private const string BadRequest = "Microsoft.AspNetCore.Server.Kestrel.BadRequest";

    /// <inheritdoc/>
    public override bool IsEnabled(string name) => name == BadRequest;

    /// <inheritdoc/>
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
        if (features is not IHostContextContainer<RequestSlot> { HostContext.IsRunning: true })
        {
            errors?.Add(error.StatusCode, $"listener '{listener}'", null, null, "the request is malformed, too large or too slow");
            log?.Write(new AccessRecord
            {
                Format = format,
                Time = time.GetUtcNow(),
                Client = features.Get<IHttpConnectionFeature>()?.RemoteIpAddress?.Unmap(),
                Method = OrDash(request?.Method),
                Target = OrDash(request?.RawTarget),
                Protocol = OrDash(request?.Protocol),
                Status = error.StatusCode,
                Bytes = BadRequestTransport.Body(error.StatusCode).Length,
            });
        }
    }

    private static string OrDash(string? text) => string.IsNullOrEmpty(text) ? "-" : text;
}
