using System.Text;

namespace LoadBalancer.Http.Upstream.Http2;

/// <summary>Decodes the compressed strings of HPACK (RFC 7541 section 5.2).</summary>
internal static class HuffmanDecoder
{
    private const int EndOfString = 256;
    private const int ShortestCode = 5;

    // A string may end with up to seven bits of padding, which are the first bits of the code for its end: all ones.
    private const int MaxPadding = 7;

    // For each state (a node of the code's tree) and the next four bits: what follows.
    private static readonly Step[] Steps = new Step[256 * 16];
    private static readonly bool[] MayEnd = new bool[256];

    static HuffmanDecoder()
    {
        var tree = Tree();
        for (var step = 0; step < Steps.Length; step++)
        {
            var (node, symbol) = (step >> 4, -1);
            for (var bit = 3; bit >= 0 && symbol != EndOfString; bit--)
            {
                var child = tree[2 * node + (step >> bit & 1)];
                (node, symbol) = child < 0 ? (0, ~child) : (child, symbol);
            }
            Steps[step] = new Step((byte)node, (short)symbol);
        }
        for (int node = 0, bits = 0; bits <= MaxPadding; bits++, node = tree[2 * node + 1])
        {
            MayEnd[node] = true;
        }
    }

    // Appendix B: the length of each symbol's code, in bits. The codes follow from the lengths, because the code is canonical.
    private static ReadOnlySpan<byte> Lengths =>
    [
        13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
        6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
        13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
        15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
        20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
        22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
        26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
        20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
        30,
    ];

    /// <summary>Decodes a string, one character for each byte (ISO 8859-1).</summary>
    /// <exception cref="Http2ConnectionException">It is not valid.</exception>
    public static string Decode(ReadOnlySpan<byte> bytes)
    {
        var most = bytes.Length * 8 / ShortestCode;
        Span<byte> decoded = most <= 512 ? stackalloc byte[512] : new byte[most];
        var (length, state) = (0, 0);
        foreach (var two in bytes)
        {
            for (var shift = 4; shift >= 0; shift -= 4)
            {
                var step = Steps[state << 4 | two >> shift & 0xf];
                if (step.Symbol == EndOfString)
                {
                    throw Invalid();
                }
                if (step.Symbol >= 0)
                {
                    decoded[length++] = (byte)step.Symbol;
                }
                state = step.State;
            }
        }
        return MayEnd[state] ? Encoding.Latin1.GetString(decoded[..length]) : throw Invalid();
    }

    private static Http2ConnectionException Invalid() => new(Http2Error.CompressionError, "an invalid Huffman code");

    // The children of node n are at 2n and 2n+1: the number of a node, or the complement of a symbol.
    private static int[] Tree()
    {
        var tree = new int[512];
        var (nodes, code, length) = (1, 0u, 0);
        foreach (var symbol in Enumerable.Range(0, Lengths.Length).OrderBy(symbol => Lengths[symbol]))
        {
            code <<= Lengths[symbol] - length;
            length = Lengths[symbol];
            var node = 0;
            for (var bit = length - 1; bit > 0; bit--)
            {
                ref var child = ref tree[2 * node + (code >> bit & 1)];
                child = child == 0 ? nodes++ : child;
                node = child;
            }
            tree[2 * node + (code & 1)] = ~symbol;
            code++;
        }
        return tree;
    }

    /// <param name="State">The next state.</param>
    /// <param name="Symbol">The byte that is complete, -1 where none is, or <see cref="EndOfString"/>, which must not occur.</param>
    private readonly record struct Step(byte State, short Symbol);
}
