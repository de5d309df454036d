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
        var context = input.Request.HttpContext;
        var location = _to.Expand(request!);
        if (location.AsSpan().ContainsAnyExceptInRange('!', '~'))
        {
            return ErrorResponse.WriteAsync(context, ForwardError.RequestHead, request!.ChangeResponse);
        }
        Redirect.Set(context, options.Status, location);
        request!.ChangeResponse(context.Response);
        return Task.CompletedTask;
    }
}
