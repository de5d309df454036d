using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Checks where copies of a route's requests go.</summary>
internal static class MirrorValidator
{
    /// <summary>Requires all that must hold for it.</summary>
    public static void Check(HttpRouteOptions route, LoadBalancerOptions all, SectionValidator section)
    {
        if (route.Mirror is not { } mirror)
        {
            return;
        }
        section.Require(route.Redirect is null && route.Respond is null, "Mirror",
            "is of no use here: this route answers by itself, no backend gets the request");
        ListenerValidator.CheckPoolName(mirror.Pool, "Mirror:Pool", all, section);
        section.Require(mirror.Share is >= 0 and <= 1, "Mirror:Share", $"'{mirror.Share}' is out of range; expected 0 to 1");
    }
}
