using System.Collections.Frozen;
using LoadBalancer.Http.Headers;

namespace LoadBalancer.Http.Upstream.Http2;

/// <summary>The fields that HPACK knows from the beginning (RFC 7541 appendix A).</summary>
internal static class HpackStaticTable
{
    // From index 1 on. Several values of one name follow each other.
    private static readonly HeaderLine[] Lines =
    [
        new(":authority", ""), new(":method", "GET"), new(":method", "POST"), new(":path", "/"), new(":path", "/index.html"),
        new(":scheme", "http"), new(":scheme", "https"), new(":status", "200"), new(":status", "204"), new(":status", "206"),
        new(":status", "304"), new(":status", "400"), new(":status", "404"), new(":status", "500"), new("accept-charset", ""),
        new("accept-encoding", "gzip, deflate"), new("accept-language", ""), new("accept-ranges", ""), new("accept", ""),
        new("access-control-allow-origin", ""), new("age", ""), new("allow", ""), new("authorization", ""), new("cache-control", ""),
        new("content-disposition", ""), new("content-encoding", ""), new("content-language", ""), new("content-length", ""),
        new("content-location", ""), new("content-range", ""), new("content-type", ""), new("cookie", ""), new("date", ""),
        new("etag", ""), new("expect", ""), new("expires", ""), new("from", ""), new("host", ""), new("if-match", ""),
        new("if-modified-since", ""), new("if-none-match", ""), new("if-range", ""), new("if-unmodified-since", ""),
        new("last-modified", ""), new("link", ""), new("location", ""), new("max-forwards", ""), new("proxy-authenticate", ""),
        new("proxy-authorization", ""), new("range", ""), new("referer", ""), new("refresh", ""), new("retry-after", ""),
        new("server", ""), new("set-cookie", ""), new("strict-transport-security", ""), new("transfer-encoding", ""),
        new("user-agent", ""), new("vary", ""), new("via", ""), new("www-authenticate", ""),
    ];

    private static readonly FrozenDictionary<string, int> Indexes = Enumerable.Range(1, Lines.Length)
        .GroupBy(index => Lines[index - 1].Name)
        .ToFrozenDictionary(same => same.Key, same => same.First(), StringComparer.OrdinalIgnoreCase);

    /// <summary>How many there are.</summary>
    public static int Count => Lines.Length;

    /// <summary>The field at an index from 1 on.</summary>
    public static HeaderLine Get(int index) => Lines[index - 1];

    /// <summary>The first index of a name, in any case; 0 where it is not in the table.</summary>
    public static int IndexOf(string name) => Indexes.GetValueOrDefault(name);
}
