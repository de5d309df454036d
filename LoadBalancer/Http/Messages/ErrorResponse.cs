using System.Globalization;
using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Http.Headers;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http.Messages;

/// <summary>
/// The load balancer's own error responses: one line of text, or one of the listener's <see cref="ErrorPages"/>, and the cause in
/// <c>Proxy-Status</c> (RFC 9209).
/// </summary>
internal static class ErrorResponse
{
    // A backend that is down is probed again within a few seconds.
    private const string RetryAfterSeconds = "2";

    /// <summary>Responds with an error; where the client is gone, or another response has started, aborts the request.</summary>
    /// <param name="context">The request.</param>
    /// <param name="error">The error.</param>
    /// <param name="change">Changes the response's fields before they are sent.</param>
    /// <param name="retryAfter">When the client may try again, where that is known.</param>
    public static Task WriteAsync(
        HttpContext context, ForwardError error, Action<HttpResponse>? change = null, TimeSpan? retryAfter = null)
    {
        var (status, message, proxyStatus) = error.Response();
        var record = context.Features.Get<AccessRecord>();
        if (context.RequestAborted.IsCancellationRequested || context.Response.HasStarted)
        {
            if (record is not null && context.RequestAborted.IsCancellationRequested)
            {
                record.Status = StatusCodes.Status499ClientClosedRequest;
            }
            context.Abort();
            return Task.CompletedTask;
        }
        record?.Error = proxyStatus;
        var response = context.Response;
        response.StatusCode = status;
        response.ContentType = "text/plain; charset=utf-8";
        response.Headers["Proxy-Status"] = $"{HeaderRules.NodeName}; error={proxyStatus}";
        var isStartOfNextUnknown = error is ForwardError.RequestHead or ForwardError.TargetTooLong or ForwardError.HeadTooLarge
            or ForwardError.RequestBody or ForwardError.TransferCoding;
        if (isStartOfNextUnknown && RequestRules.IsHttp1(context.Request.Protocol))
        {
            response.Headers.Connection = "close";
        }
        EndConnectionIfBodyIsInDoubt(context);
        if (status == StatusCodes.Status503ServiceUnavailable)
        {
            response.Headers.RetryAfter = RetryAfterSeconds;
        }
        if (retryAfter is { } wait)
        {
            response.Headers.RetryAfter = Math.Ceiling(wait.TotalSeconds).ToString(CultureInfo.InvariantCulture);
        }
        if (IsGrpc(context.Request) && error.GrpcStatus() is { } grpcStatus)
        {
            // A head that ends the stream is "Trailers-Only": the form in which gRPC clients expect an error.
            response.StatusCode = StatusCodes.Status200OK;
            response.ContentType = "application/grpc";
            response.Headers["grpc-status"] = grpcStatus.ToString(CultureInfo.InvariantCulture);
            response.Headers["grpc-message"] = message;
            change?.Invoke(response);
            return Task.CompletedTask;
        }
        var page = FindPage(context, status);
        if (page is not null)
        {
            response.ContentType = ErrorPages.ContentType;
        }
        var length = page?.Length ?? message.Length + 1;
        response.ContentLength = length;
        change?.Invoke(response);
        if (context.Request.Method == HttpMethods.Head)
        {
            return Task.CompletedTask;
        }
        if (record is not null)
        {
            record.Bytes = length;
        }
        return page is null
            ? response.WriteAsync(message + "\n", context.RequestAborted)
            : response.BodyWriter.WriteAsync(page, context.RequestAborted).AsTask();
    }

    // Where there is a page, the response depends on what the client accepts, whichever it gets.
    private static byte[]? FindPage(HttpContext context, int status)
    {
        if (context.Features.Get<ErrorPages>()?.Find(status) is not { } page)
        {
            return null;
        }
        context.Response.Headers.Append(HeaderNames.Vary, HeaderNames.Accept);
        return ErrorPages.IsAccepted(context.Request.Headers.Accept) ? page : null;
    }

    /// <summary>
    /// Ends the connection after a response of ours to a client that waits for 100 (Continue): it may send its body after another answer,
    /// or may not (RFC 9110 section 10.1.1).
    /// </summary>
    public static void EndConnectionIfBodyIsInDoubt(HttpContext context)
    {
        if (RequestRules.IsHttp1(context.Request.Protocol) && context.Request.Headers.Expect.Count > 0)
        {
            context.Response.Headers.Connection = "close";
        }
    }

    private static bool IsGrpc(HttpRequest request) =>
        request.ContentType?.StartsWith("application/grpc", StringComparison.OrdinalIgnoreCase) == true;
}
