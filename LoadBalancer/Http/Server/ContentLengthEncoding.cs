using System.Text;

namespace LoadBalancer.Http.Server;

/// <summary>
/// Reads the <c>Content-Length</c> of a request so that Kestrel rejects everything but digits (RFC 9110 section 8.6). By itself it
/// accepts <c>+1</c>, <c>-0</c> and a control character before the number, which another server may read differently, and closes the
/// connection without a response where there are more than twenty characters.
/// </summary>
internal sealed class ContentLengthEncoding : Encoding
{
    // 2^63 has nineteen digits. A longer value, or one that is not a number, is read as -1, which Kestrel rejects.
    private const int MaxDigits = 19;

    /// <summary>The instance; it has no state.</summary>
    public static ContentLengthEncoding Instance { get; } = new();

    /// <inheritdoc/>
    public override int GetChars(ReadOnlySpan<byte> bytes, Span<char> chars) => Latin1.GetChars(IsLength(bytes) ? bytes : "-1"u8, chars);

    /// <inheritdoc/>
    public override int GetChars(byte[] bytes, int byteIndex, int byteCount, char[] chars, int charIndex) =>
        GetChars(bytes.AsSpan(byteIndex, byteCount), chars.AsSpan(charIndex));

    /// <inheritdoc/>
    public override int GetCharCount(byte[] bytes, int index, int count) => IsLength(bytes.AsSpan(index, count)) ? count : 2;

    /// <inheritdoc/>
    public override int GetMaxCharCount(int byteCount) => MaxDigits;

    /// <inheritdoc/>
    public override int GetByteCount(char[] chars, int index, int count) => Latin1.GetByteCount(chars, index, count);

    /// <inheritdoc/>
    public override int GetBytes(char[] chars, int charIndex, int charCount, byte[] bytes, int byteIndex) =>
        Latin1.GetBytes(chars, charIndex, charCount, bytes, byteIndex);

    /// <inheritdoc/>
    public override int GetMaxByteCount(int charCount) => charCount;

    private static bool IsLength(ReadOnlySpan<byte> value) =>
        value.Length is > 0 and <= MaxDigits && !value.ContainsAnyExceptInRange((byte)'0', (byte)'9');
}
