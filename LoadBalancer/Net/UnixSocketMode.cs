namespace LoadBalancer.Net;

/// <summary>The mode of a Unix socket's file: who may connect.</summary>
internal static class UnixSocketMode
{
    /// <summary>Reads three octal digits, with or without a zero in front; null where they are something else.</summary>
    public static UnixFileMode? Parse(string? text) =>
        text is { Length: 3 } or ['0', _, _, _] && text.All(c => c is >= '0' and <= '7') ? (UnixFileMode)Convert.ToInt32(text, 8) : null;
}
