using LoadBalancer.Files;
using Microsoft.Extensions.Primitives;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http.Messages;

/// <summary>
/// The pages that a listener sends with the load balancer's own error responses, instead of one line of text, to clients that accept HTML.
/// A feature of the requests of a listener that has any.
/// </summary>
/// <param name="pages">The pages by status, or by class of status (<c>5xx</c>), in lower case.</param>
internal sealed class ErrorPages(IReadOnlyDictionary<string, WatchedFile<byte[]>> pages)
{
    /// <summary>The type of all pages.</summary>
    public const string ContentType = "text/html; charset=utf-8";

    /// <summary>The page for a status; null where there is none.</summary>
    public byte[]? Find(int status) =>
        (pages.GetValueOrDefault($"{status}") ?? pages.GetValueOrDefault($"{status / 100}xx"))?.Content;

    /// <summary>
    /// Whether a client accepts HTML (RFC 9110 section 12.5.1): of the ranges in <c>Accept</c> that match, the most precise one decides.
    /// A client that sends no <c>Accept</c> is rarely a browser, and gets text.
    /// </summary>
    public static bool IsAccepted(StringValues accept)
    {
        if (accept.Count == 0 || !MediaTypeHeaderValue.TryParseList(accept, out var ranges))
        {
            return false;
        }
        var (precision, quality) = (-1, 0.0);
        foreach (var range in ranges)
        {
            var matches = range.MatchesAllTypes ? 0
                : !range.Type.Equals("text", StringComparison.OrdinalIgnoreCase) ? -1
                : range.MatchesAllSubTypes ? 1
                : range.SubType.Equals("html", StringComparison.OrdinalIgnoreCase) ? 2
                : -1;
            if (matches >= 0 && matches >= precision)
            {
                quality = matches > precision ? range.Quality ?? 1 : Math.Max(quality, range.Quality ?? 1);
                precision = matches;
            }
        }
        return quality > 0;
    }
}
