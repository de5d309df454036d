using System.Text;
using LoadBalancer.Http.Messages;

namespace LoadBalancer.Http.Server;

/// <summary>
/// Reads a <c>Connection</c> field of a request so that Kestrel leaves the names in it alone. Where the options that Kestrel knows
/// come to exactly one (close, keep-alive or upgrade), it replaces all lines by that one, and the fields that the client declared to
/// be for one connection only (<c>Connection: close, X-Mine</c>) would be forwarded. Two options it leaves as they are; so a line with
/// close or upgrade is read with <c>keep-alive</c> added, which means nothing next to them. A line that names a field which would be
/// forwarded, and neither of them, is read with both added: another line may say keep-alive. That ends the connection after the
/// response, which a server may always do.
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
    public override int GetMaxCharCount(int byteCount) => byteCount + ", close, keep-alive".Length;

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
        return tokens.Any(token => IsAny(token, "close", "upgrade")) ? string.Join(", ", tokens.Append("keep-alive"))
            : tokens.Any(token => !IsAny(token, "keep-alive") && HeaderRules.IsForwarded(token)) ? string.Join(", ", tokens.Append("close").Append("keep-alive"))
            : text;
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
