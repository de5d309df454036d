using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Http.Transforms;

namespace LoadBalancer.Http.Routes;

/// <summary>What a route does with a request.</summary>
internal interface IRouteAction
{
    /// <summary>Responds to the request.</summary>
    /// <param name="input">The request.</param>
    /// <param name="record">Its line in the access log, where there is one.</param>
    /// <param name="request">The same with what the route changes; null where it changes nothing.</param>
    Task InvokeAsync(RouteInput input, AccessRecord? record, RoutedRequest? request);
}
