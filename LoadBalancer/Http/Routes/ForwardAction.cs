using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Http.Forwarding;
using LoadBalancer.Http.Transforms;

namespace LoadBalancer.Http.Routes;

/// <summary>Sends requests to a pool, or to one of several by their shares.</summary>
/// <param name="sides">The forwarders, each with its share.</param>
/// <param name="mirror">Copies requests to another pool; null where none are.</param>
internal sealed class ForwardAction((HttpForwarder Forwarder, int Share)[] sides, Mirror? mirror = null) : IRouteAction
{
    private readonly int _shares = sides.Sum(side => side.Share);

    /// <inheritdoc/>
    public Task InvokeAsync(RouteInput input, AccessRecord? record, RoutedRequest? request)
    {
        var forwarder = Choose(input.Request);
        return mirror is null
            ? ForwardAsync(forwarder, input, record, request)
            : mirror.ForwardAsync(request!, input.IsPeerTrusted, () => ForwardAsync(forwarder, input, record, request));
    }

    private static Task ForwardAsync(HttpForwarder forwarder, RouteInput input, AccessRecord? record, RoutedRequest? request)
    {
        return forwarder.ForwardAsync(
            input.Request.HttpContext, input.IsPeerTrusted, record,
            forwarder.Hash?.Of(input.Request, input.Listener, input.IsPeerTrusted) ?? 0, request);
    }

    // A client with a cookie of one side stays there, also while that side gets no others.
    private HttpForwarder Choose(HttpRequest request)
    {
        if (sides is [var only])
        {
            return only.Forwarder;
        }
        if (request.Headers.Cookie.Count > 0)
        {
            foreach (var (forwarder, _) in sides)
            {
                if (forwarder.HasSessionOf(request))
                {
                    return forwarder;
                }
            }
        }
        var drawn = Random.Shared.Next(_shares);
        foreach (var (forwarder, share) in sides)
        {
            if (drawn < share)
            {
                return forwarder;
            }
            drawn -= share;
        }
        return sides[^1].Forwarder;
    }
}
