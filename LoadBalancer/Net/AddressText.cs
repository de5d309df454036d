namespace LoadBalancer.Net;

/// <summary>Text that is shown to people and may have addresses in it that a user has written.</summary>
internal static class AddressText
{
    private const string SchemeEnd = "://";

    /// <summary>
    /// Hides who logs in where: <c>http://user:password@host</c> becomes <c>http://***@host</c>. All up to the last <c>@</c> is hidden,
    /// because people write passwords as they are, with signs in them that do not belong into an address (RFC 3986 section 3.2.1).
    /// </summary>
    public static string WithoutCredentials(string text)
    {
        for (var at = text.IndexOf(SchemeEnd, StringComparison.Ordinal); at >= 0;)
        {
            var start = at + SchemeEnd.Length;
            at = text.IndexOf(SchemeEnd, start, StringComparison.Ordinal);
            var end = text.LastIndexOf('@', (at < 0 ? text.Length : at) - 1);
            if (end >= start)
            {
                var shorter = $"{text[..start]}***{text[end..]}";
                at += at < 0 ? 0 : shorter.Length - text.Length;
                text = shorter;
            }
        }
        return text;
    }

    /// <summary>Hides the query: <c>/health?key=secret</c> becomes <c>/health?***</c>.</summary>
    public static string WithoutQuery(string text) => text.IndexOf('?') is >= 0 and var at ? $"{text[..at]}?***" : text;
}
