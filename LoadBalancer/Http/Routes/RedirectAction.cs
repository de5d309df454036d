using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Transforms;

namespace LoadBalancer.Http.Routes;

/// <summary>Redirects the client (RFC 9110 section 15.4).</summary>
internal sealed class RedirectAction(RedirectOptions options) : IRouteAction
{
    private readonly ValueTemplate _to = ValueTemplate.Parse(options.To);

    /// <inheritdoc/>
    public Task InvokeAsync(RouteInput input, AccessRecord? record, RoutedRequest? request)
    {
        var response = input.Request.HttpContext.Response;
        var location = _to.Expand(request!);
        if (location.AsSpan().ContainsAnyExceptInRange('!', '~'))
        {
            return ErrorResponse.WriteAsync(input.Request.HttpContext, ForwardError.RequestHead, request!.ChangeResponse);
        }
        response.StatusCode = options.Status;
        response.Headers.Location = location;
        response.ContentLength = 0;
        ErrorResponse.EndConnectionIfBodyIsInDoubt(input.Request.HttpContext);
        request!.ChangeResponse(response);
        return Task.CompletedTask;
    }
}
