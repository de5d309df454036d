using System.Text;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// HPACK (RFC 7541) as far as a test needs it: it writes literals, and reads sections that use neither the dynamic table nor Huffman codes,
/// which the load balancer uses neither. It shares no code with the load balancer, so each checks the other.
/// </summary>
internal static class HpackText
{
    // Appendix A.
    private static readonly (string Name, string Value)[] Table =
    [
        .. """
        :authority|:method GET|:method POST|:path /|:path /index.html|:scheme http|:scheme https|:status 200|:status 204|:status 206
        :status 304|:status 400|:status 404|:status 500|accept-charset|accept-encoding gzip, deflate|accept-language|accept-ranges|accept
        access-control-allow-origin|age|allow|authorization|cache-control|content-disposition|content-encoding|content-language
        content-length|content-location|content-range|content-type|cookie|date|etag|expect|expires|from|host|if-match|if-modified-since
        if-none-match|if-range|if-unmodified-since|last-modified|link|location|max-forwards|proxy-authenticate|proxy-authorization|range
        referer|refresh|retry-after|server|set-cookie|strict-transport-security|transfer-encoding|user-agent|vary|via|www-authenticate
        """.Split(['|', '\n'], StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries)
            .Select(field => field.Split(' ', 2)).Select(parts => (parts[0], parts.Length > 1 ? parts[1] : "")),
    ];

    /// <summary>A string that is not compressed.</summary>
    public static string String(string text) => Integer(text.Length, 0x7f) + text;

    /// <summary>A number in the low bits of a byte, and in further bytes where it is too large for them.</summary>
    public static string Integer(int value, int mask, int high = 0)
    {
        if (value < mask)
        {
            return ((char)(high | value)).ToString();
        }
        var text = new StringBuilder().Append((char)(high | mask));
        for (value -= mask; value >= 0x80; value >>= 7)
        {
            text.Append((char)(value & 0x7f | 0x80));
        }
        return text.Append((char)value).ToString();
    }

    /// <summary>The fields of a section.</summary>
    public static List<(string Name, string Value)> Decode(string block)
    {
        var fields = new List<(string, string)>();
        for (var at = 0; at < block.Length;)
        {
            if (block[at] >= 0x80)
            {
                fields.Add(Table[ReadInteger(block, ref at, 0x7f) - 1]);
            }
            else if (block[at] >= 0x20)
            {
                (block[at++] == 0x20).Should().BeTrue("nothing is added to the table, whose size is set to 0");
            }
            else
            {
                var index = ReadInteger(block, ref at, 0xf);
                fields.Add((index > 0 ? Table[index - 1].Name : ReadString(block, ref at), ReadString(block, ref at)));
            }
        }
        return fields;
    }

    private static string ReadString(string block, ref int at)
    {
        (block[at] < 0x80).Should().BeTrue("Huffman codes are not used");
        var length = ReadInteger(block, ref at, 0x7f);
        at += length;
        return block[(at - length)..at];
    }

    private static int ReadInteger(string block, ref int at, int mask)
    {
        var value = block[at++] & mask;
        for (var shift = 0; value >= mask; shift += 7)
        {
            value += (block[at] & 0x7f) << shift;
            if (block[at++] < 0x80)
            {
                break;
            }
        }
        return value;
    }
}
