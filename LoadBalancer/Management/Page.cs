using System.Globalization;
using System.Text.Json.Nodes;
using static Microsoft.AspNetCore.Http.StatusCodes;

namespace LoadBalancer.Management;

/// <summary>
/// Answers with a part of a list: <c>?limit=</c> says how much of it, and the Link field (RFC 8288) where the rest is. The rest begins
/// after a key, not at a place, so that nothing is left out or shown twice because something else comes or goes meanwhile.
/// </summary>
internal static class Page
{
    private const int MostItems = 1000;

    /// <summary>Answers with things that have names. They come in the order of their names where only a part is asked for.</summary>
    /// <param name="request">The request.</param>
    /// <param name="items">All of them.</param>
    /// <param name="nameOf">The name of one.</param>
    /// <param name="body">Makes the body of the answer with some of them.</param>
    public static Task AnswerAsync<T>(
        ApiRequest request, IEnumerable<T> items, Func<T, string> nameOf, Func<IReadOnlyList<T>, JsonNode> body)
    {
        var query = request.Context.Request.Query;
        string? after = query["after"];
        if (after is null && !query.ContainsKey("limit"))
        {
            return request.AnswerAsync(body([.. items]));
        }
        var rest = items.Where(item => after is null || string.CompareOrdinal(nameOf(item), after) > 0)
            .OrderBy(nameOf, StringComparer.Ordinal);
        return AnswerPartAsync(request, [.. rest], "after", nameOf, body);
    }

    /// <summary>Answers with things that have numbers, in their order.</summary>
    /// <param name="request">The request.</param>
    /// <param name="key">The field of the query that has the number.</param>
    /// <param name="rest">Those after a number; null stands for all.</param>
    /// <param name="idOf">The number of one.</param>
    /// <param name="body">Makes the body of the answer with some of them.</param>
    public static Task AnswerNumberedAsync<T>(
        ApiRequest request, string key, Func<long?, IReadOnlyList<T>> rest, Func<T, long> idOf, Func<IReadOnlyList<T>, JsonNode> body)
    {
        string? after = request.Context.Request.Query[key];
        long? id = null;
        if (after is not null)
        {
            if (!long.TryParse(after, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
            {
                return request.RefuseAsync(Status400BadRequest, $"{key} '{after}' is not valid; expected a whole number, 0 or more");
            }
            id = number;
        }
        return AnswerPartAsync(request, rest(id), key, item => idOf(item).ToString(CultureInfo.InvariantCulture), body);
    }

    private static Task AnswerPartAsync<T>(
        ApiRequest request, IReadOnlyList<T> rest, string key, Func<T, string> keyOf, Func<IReadOnlyList<T>, JsonNode> body)
    {
        var http = request.Context.Request;
        if ((string?)http.Query["limit"] is not { } text)
        {
            return request.AnswerAsync(body(rest));
        }
        if (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var limit) || limit is < 1 or > MostItems)
        {
            return request.RefuseAsync(Status400BadRequest, $"limit '{text}' is not valid; expected a whole number from 1 to {MostItems}");
        }
        if (rest.Count > limit)
        {
            var others = http.Query.Where(field => field.Key != key)
                .SelectMany(field => field.Value.Select(value => (field.Key, value ?? "")));
            var query = string.Join('&', others.Append((key, keyOf(rest[limit - 1])))
                .Select(field => $"{Uri.EscapeDataString(field.Item1)}={Uri.EscapeDataString(field.Item2)}"));
            request.Context.Response.Headers.Link = $"<{http.Path.ToUriComponent()}?{query}>; rel=\"next\"";
        }
        return request.AnswerAsync(body([.. rest.Take(limit)]));
    }
}
