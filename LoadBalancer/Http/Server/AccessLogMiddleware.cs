using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Http.Messages;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http.Server;

/// <summary>The beginning of a listener's pipeline, where it has an access log: records each request when it is over.</summary>
public sealed class AccessLogMiddleware(RequestDelegate next, AccessLog log, AccessLogFormat format, TimeProvider time)
{
    /// <summary>Lets the request through, and records it.</summary>
    public async Task InvokeAsync(HttpContext context)
    {
        var record = new AccessRecord
        {
            Format = format,
            Time = time.GetUtcNow(),
            Client = RequestRules.Plain(context.Connection.RemoteIpAddress),
            Method = context.Request.Method,
            Target = context.Features.Get<IHttpRequestFeature>()!.RawTarget,
            Protocol = context.Request.Protocol,
        };
        var start = time.GetTimestamp();
        context.Features.Set(record); // for whoever knows more
        try
        {
            await next(context);
        }
        finally
        {
            record.Duration = time.GetElapsedTime(start);
            record.Status = record.Status == 0 ? context.Response.StatusCode : record.Status;
            log.Write(record);
        }
    }
}
