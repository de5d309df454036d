using System.Text;

namespace LoadBalancer.Http;

/// <summary>
/// Reads a <c>Connection</c> field of a request so that Kestrel leaves the names in it alone. Where the options that Kestrel knows
/// come to exactly one (close, keep-alive or upgrade), it replaces the whole value by that one, and the fields that the client
/// declared to be for one connection only (<c>Connection: close, X-Mine</c>) would be forwarded. Two options it leaves as they are;
/// so such a line is read with <c>keep-alive</c> added, which means nothing next to close or upgrade, and with keep-alive left out
/// where it stood alone, which HTTP/1.1 assumes anyway. To <c>close</c> it is always added: another line may name the fields.
/// </summary>
internal sealed class ConnectionFieldEncoding : Encoding
{
    /// <summary>The only one that is needed.</summary>
    public static ConnectionFieldEncoding Instance { get; } = new();

    /// <inheritdoc/>
    public override int GetCharCount(byte[] bytes, int index, int count) => Rewrite(bytes.AsSpan(index, count)).Length;

    /// <inheritdoc/>
    public override int GetChars(byte[] bytes, int byteIndex, int byteCount, char[] chars, int charIndex)
    {
        var text = Rewrite(bytes.AsSpan(byteIndex, byteCount));
        text.CopyTo(chars.AsSpan(charIndex));
        return text.Length;
    }

    /// <inheritdoc/>
    public override int GetMaxCharCount(int byteCount) => byteCount + ", keep-alive".Length;

    /// <inheritdoc/>
    public override int GetByteCount(char[] chars, int index, int count) => Latin1.GetByteCount(chars, index, count);

    /// <inheritdoc/>
    public override int GetBytes(char[] chars, int charIndex, int charCount, byte[] bytes, int byteIndex) =>
        Latin1.GetBytes(chars, charIndex, charCount, bytes, byteIndex);

    /// <inheritdoc/>
    public override int GetMaxByteCount(int charCount) => charCount;

    /// <summary>The value as Kestrel gets to see it.</summary>
    internal static string Rewrite(ReadOnlySpan<byte> value)
    {
        var text = Latin1.GetString(value);
        var tokens = text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        if (tokens.All(token => IsAny(token, "keep-alive", "upgrade")))
        {
            return text;
        }
        var kept = tokens.Where(token => !IsAny(token, "keep-alive"));
        return string.Join(", ", tokens.Any(token => IsAny(token, "close", "upgrade")) ? kept.Append("keep-alive") : kept);
    }

    private static bool IsAny(string token, params ReadOnlySpan<string> names)
    {
        foreach (var name in names)
        {
            if (token.Equals(name, StringComparison.OrdinalIgnoreCase))
            {
                return true;
            }
        }
        return false;
    }
}
