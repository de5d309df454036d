using LoadBalancer.Http.Messages;

namespace LoadBalancer.Http.Transforms;

/// <summary>
/// A list of media types (RFC 9110 section 8.3.1), compiled: <c>application/json</c>, <c>text/*</c>, or <c>*</c> for all.
/// </summary>
internal sealed class MediaTypes(IReadOnlyList<string> patterns)
{
    private readonly string[] _exact = [.. patterns.Where(pattern => !pattern.EndsWith('*'))];
    private readonly string[] _prefixes = [.. patterns.Where(pattern => pattern.EndsWith('*')).Select(PrefixOf)];

    /// <summary>Whether a text can be in the list.</summary>
    public static bool IsPattern(string text) =>
        text is "*" or "*/*"
        || text.Split('/') is [var type, var subtype] && IsName(type) && (subtype == "*" || IsName(subtype));

    /// <summary>Whether a response's Content-Type is of one of them, whatever its parameters.</summary>
    public bool Match(ReadOnlySpan<char> contentType)
    {
        var type = WithoutParameters(contentType);
        return IsNamed(type) || type.Contains('/') && StartsWithAny(type);
    }

    /// <summary>Whether it is in the list itself, not by a star.</summary>
    public bool Names(ReadOnlySpan<char> contentType) => IsNamed(WithoutParameters(contentType));

    private bool IsNamed(ReadOnlySpan<char> type)
    {
        foreach (var exact in _exact)
        {
            if (type.Equals(exact, StringComparison.OrdinalIgnoreCase))
            {
                return true;
            }
        }
        return false;
    }

    private bool StartsWithAny(ReadOnlySpan<char> type)
    {
        foreach (var prefix in _prefixes)
        {
            if (type.StartsWith(prefix, StringComparison.OrdinalIgnoreCase))
            {
                return true;
            }
        }
        return false;
    }

    private static ReadOnlySpan<char> WithoutParameters(ReadOnlySpan<char> contentType) =>
        (contentType.IndexOf(';') is >= 0 and var end ? contentType[..end] : contentType).Trim();

    private static string PrefixOf(string pattern) => pattern is "*" or "*/*" ? "" : pattern[..^1];

    private static bool IsName(string text) => RequestRules.IsFieldName(text) && !text.Contains('*', StringComparison.Ordinal);
}
