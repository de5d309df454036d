using LoadBalancer.Http.Headers;

namespace LoadBalancer.Http.Transforms;

/// <summary>The name of a request, unique among all requests; there is one where the listener's <c>RequestId</c> says so.</summary>
/// <param name="Value">The name.</param>
internal sealed record RequestName(string Value)
{
    private const int MaxLength = 128;

    /// <summary>Gives a request its name, or keeps the one that a trusted proxy gave it.</summary>
    /// <param name="context">The request.</param>
    /// <param name="field">The field with the name, in the request that the backend gets and in the response.</param>
    /// <param name="isPeerTrusted">Whether the peer is a trusted proxy.</param>
    public static RequestName Give(HttpContext context, string field, bool isPeerTrusted)
    {
        var given = context.Request.Headers[field].ToString();
        var name = new RequestName(isPeerTrusted && IsValid(given) ? given : Guid.NewGuid().ToString("N"));
        context.Request.Headers[field] = name.Value;
        LetPass(context.Request.Headers, field);
        context.Features.Set(name);
        context.Response.OnStarting(() =>
        {
            context.Response.Headers[field] = name.Value;
            return Task.CompletedTask;
        });
        return name;
    }

    // A client that names the field in Connection would keep it from the backend.
    private static void LetPass(IHeaderDictionary headers, string field)
    {
        if (HeaderRules.NamedByConnection(headers.Connection) is { } named && named.Remove(field))
        {
            headers.Connection = named.Count == 0 ? default : string.Join(", ", named);
        }
    }

    private static bool IsValid(string name) => name.Length is > 0 and <= MaxLength && !name.AsSpan().ContainsAnyExceptInRange('!', '~');
}
