using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Transforms;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Http.Forwarding;

/// <summary>Copies a share of a route's requests to another pool. Compiled; immutable.</summary>
/// <param name="sender">Sends them.</param>
/// <param name="share">The share, from 0 to 1.</param>
/// <param name="route">The route's name.</param>
/// <param name="counts">Counts them.</param>
internal sealed class Mirror(MirrorSender sender, double share, string route, MirrorCounts counts)
{
    /// <summary>Forwards a request, and copies it where it is in the share. The copy neither delays the request nor fails it.</summary>
    /// <param name="request">The request.</param>
    /// <param name="isPeerTrusted">Whether the peer is a trusted proxy.</param>
    /// <param name="forward">Forwards it.</param>
    public Task ForwardAsync(RoutedRequest request, bool isPeerTrusted, Func<Task> forward)
    {
        if (Random.Shared.NextDouble() >= share || !MayBeCopied(request, out var hasBody))
        {
            return forward();
        }
        if (hasBody && request.Context.Request.ContentLength > KeptBody.MaxSize)
        {
            counts.Count(route, MirrorResult.TooLarge);
            return forward();
        }
        if (!sender.TryEnter())
        {
            counts.Count(route, MirrorResult.Dropped);
            return forward();
        }
        request.KeptBody = hasBody ? new KeptBody() : null;
        var copy = MirroredRequest.Of(request, isPeerTrusted);
        var forwarding = forward(); // The client's comes first.
        sender.Send(copy, result => counts.Count(route, result));
        return hasBody ? GiveUpAfterAsync(forwarding, copy.Body!) : forwarding;
    }

    // A tunnel has no end to wait for, and what is refused here must not reach another backend.
    private static bool MayBeCopied(RoutedRequest request, out bool hasBody)
    {
        var context = request.Context;
        hasBody = RequestRules.CanHaveBody(context);
        return RequestRules.UpgradeProtocol(context) is null && RequestRules.FindError(context, hasBody, request.Rules.Via) is null;
    }

    private static async Task GiveUpAfterAsync(Task forwarding, KeptBody body)
    {
        try
        {
            await forwarding;
        }
        finally
        {
            body.GiveUp(); // No effect where it has ended.
        }
    }
}
