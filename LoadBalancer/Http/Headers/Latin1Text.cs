using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Text;

namespace LoadBalancer.Http.Headers;

/// <summary>
/// Writes the text of a message's head, one byte for each character (ISO 8859-1). A head is made of some twenty short texts, for which
/// <see cref="Encoding.Latin1"/> takes several times as long.
/// </summary>
internal static class Latin1Text
{
    /// <summary>Writes a text.</summary>
    /// <param name="text">The text.</param>
    /// <param name="to">Gets it; as long as the text.</param>
    public static void Write(ReadOnlySpan<char> text, Span<byte> to)
    {
        to = to[..text.Length];
        ref var from = ref Unsafe.As<char, ushort>(ref MemoryMarshal.GetReference(text));
        ref var target = ref MemoryMarshal.GetReference(to);
        var all = 0; // all bits that occur in a character
        var last = text.Length - Vector128<ushort>.Count;
        if (last < 0)
        {
            for (var i = 0; i < text.Length; i++)
            {
                all |= text[i];
                to[i] = (byte)text[i];
            }
        }
        else
        {
            var seen = Vector128<ushort>.Zero;
            for (var i = 0; ; i = Math.Min(i + Vector128<ushort>.Count, last)) // The last step overlaps the one before.
            {
                var step = Vector128.LoadUnsafe(ref from, (nuint)i);
                seen |= step;
                Vector128.Narrow(step, step).GetLower().StoreUnsafe(ref target, (nuint)i);
                if (i == last)
                {
                    break;
                }
            }
            all = Vector128.GreaterThanAny(seen, Vector128.Create((ushort)0xFF)) ? 0x100 : 0;
        }
        if (all > 0xFF)
        {
            Encoding.Latin1.GetBytes(text, to); // It knows what to write for a character that the encoding does not have.
        }
    }
}
