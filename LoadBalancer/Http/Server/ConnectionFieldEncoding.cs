using System.Text;
using LoadBalancer.Http.Headers;

namespace LoadBalancer.Http.Server;

/// <summary>
/// Reads a <c>Connection</c> field of a request so that Kestrel keeps the names in it. Where exactly one of the options that Kestrel
/// knows is present (close, keep-alive or upgrade), Kestrel replaces all lines by that option. The hop-by-hop fields that the client
/// names there (<c>Connection: close, X-Mine</c>) would then be forwarded. With two options it changes nothing. So <c>keep-alive</c> is
/// added to a line with close or upgrade, next to which it has no meaning. To a line with neither of them that names a field which would
/// be forwarded both are added, because another line may say keep-alive. That ends the connection after the response, which a server
/// may always do.
/// </summary>
internal sealed class ConnectionFieldEncoding : Encoding
{
    /// <summary>The instance; it has no state.</summary>
    public static ConnectionFieldEncoding Instance { get; } = new();

    /// <inheritdoc/>
    public override int GetCharCount(byte[] bytes, int index, int count) => Rewrite(bytes.AsSpan(index, count)).Length;

    /// <inheritdoc/>
    /// <remarks>This and the next are what Kestrel calls in the end; those of the base class copy the bytes to an array first.</remarks>
    public override unsafe int GetCharCount(byte* bytes, int count) => Rewrite(new(bytes, count)).Length;

    /// <inheritdoc/>
    public override unsafe int GetChars(byte* bytes, int byteCount, char* chars, int charCount)
    {
        var text = Rewrite(new(bytes, byteCount));
        text.CopyTo(new Span<char>(chars, charCount));
        return text.Length;
    }

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

    /// <summary>The value that Kestrel gets.</summary>
    internal static string Rewrite(ReadOnlySpan<byte> value)
    {
        // What nearly all requests have that have this field at all.
        if (Ascii.EqualsIgnoreCase(value, "keep-alive"u8))
        {
            return "keep-alive";
        }
        if (Ascii.EqualsIgnoreCase(value, "close"u8))
        {
            return "close, keep-alive";
        }
        var text = Latin1.GetString(value);
        var tokens = text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries);
        return tokens.Any(token => IsAny(token, "close", "upgrade")) ? string.Join(", ", tokens.Append("keep-alive"))
            : tokens.Any(token => !IsAny(token, "keep-alive") && HeaderRules.IsForwarded(token, isPeerTrusted: true))
                ? string.Join(", ", tokens.Append("close").Append("keep-alive"))
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
