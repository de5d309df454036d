using System.Security.Cryptography;
using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Management;

/// <summary>
/// Entity tags and the conditions with which a change may come (RFC 9110 section 13). A tag stands for what operators can change of a pool
/// or a backend, not for its counters: those are never the same twice.
/// </summary>
internal static class Preconditions
{
    /// <summary>The tag of settings.</summary>
    public static string TagOf(JsonObject settings) => $"\"{Convert.ToHexStringLower(SHA256.HashData(JsonText.Bytes(settings))[..8])}\"";

    /// <summary>Why a change must not be made; null where it may.</summary>
    /// <param name="request">The request that asks for it.</param>
    /// <param name="settings">What is to be changed, as it is now; null where there is nothing yet.</param>
    public static string? FindError(HttpRequest request, JsonObject? settings)
    {
        var tag = settings is null ? null : TagOf(settings);
        if (request.Headers.IfMatch.Count > 0 && (tag is null || !Matches(request.Headers.IfMatch, tag)))
        {
            return tag is null ? "it is not there any more, so If-Match does not hold"
                : $"it has changed meanwhile: its ETag is {tag} now; look at it again, then decide";
        }
        return request.Headers.IfNoneMatch.Count > 0 && tag is not null && Matches(request.Headers.IfNoneMatch, tag)
            ? $"it is there already, with the ETag {tag}, so If-None-Match does not hold" : null;
    }

    private static bool Matches(StringValues field, string tag) =>
        EntityTagHeaderValue.TryParseList(field, out var tags)
        && tags.Any(one => one == EntityTagHeaderValue.Any || !one.IsWeak && one.Tag == tag);
}
