using System.Buffers;
using System.Globalization;
using System.Net;
using System.Text.Json;
using System.Text.Unicode;
using LoadBalancer.Net;

namespace LoadBalancer.Diagnostics.Access;

/// <summary>One request in the access log. Filled in while the request runs, written when it is over.</summary>
public sealed class AccessRecord
{
    /// <summary>What is in its line. Default: the Common Log Format, then seconds and backend.</summary>
    public AccessLogLayout Layout { get; init; } = AccessLogLayout.Default;

    /// <summary>When the request arrived.</summary>
    public DateTimeOffset Time { get; init; }

    /// <summary>The same as a timestamp of the clock, from which <see cref="Duration"/> is measured.</summary>
    public long Start { get; init; }

    /// <summary>The address that it came from; null: through a Unix socket.</summary>
    public IPAddress? Client { get; init; }

    /// <summary>The same as a text.</summary>
    internal string ClientText => UnixPeers.Text(Client);

    /// <summary>Its method.</summary>
    public required string Method { get; init; }

    /// <summary>Its target as it was sent. The query may hold secrets: see <see cref="AccessLogLayout.HasQuery"/>.</summary>
    public required string Target { get; init; }

    /// <summary>Its protocol, such as <c>HTTP/1.1</c>.</summary>
    public required string Protocol { get; init; }

    /// <summary>The status that the client saw; 499 where it went away before the response ended. 0 while the request runs.</summary>
    public int Status { get; set; }

    /// <summary>Whether no line is written: its route is not in the log.</summary>
    public bool IsDropped { get; set; }

    /// <summary>The bytes of the response's body.</summary>
    public long Bytes { get; set; }

    /// <summary>From the request's head to the end of the response.</summary>
    public TimeSpan Duration { get; set; }

    /// <summary>The pool of the <see cref="Backend"/>.</summary>
    public string? Pool { get; set; }

    /// <summary>The backend that answered, or was the last to fail; null where none was asked.</summary>
    public string? Backend { get; set; }

    /// <summary>The host that was asked for; null where the layout does not need it, like the next four.</summary>
    public string? Host { get; init; }

    /// <summary>The version of TLS.</summary>
    public string? TlsVersion { get; init; }

    /// <summary>What the client says it is.</summary>
    public string? UserAgent { get; init; }

    /// <summary>The page that the client comes from.</summary>
    public string? Referer { get; init; }

    /// <summary>The trace that the request is a part of (<c>traceparent</c>).</summary>
    public string? TraceId { get; set; }

    /// <summary>The request's own name, where the listener gives it one.</summary>
    public string? RequestId { get; set; }

    /// <summary>The name of its route; null where it has none.</summary>
    public string? Route { get; set; }

    /// <summary>How many backends were asked.</summary>
    public int Attempts { get; set; }

    /// <summary>How long the last of them took to answer.</summary>
    public TimeSpan? BackendTime { get; set; }

    /// <summary>Why the response is ours, or broken, in the words of RFC 9209; null where it is neither.</summary>
    public string? Error { get; set; }

    /// <summary>The target without its query.</summary>
    public ReadOnlySpan<char> Path =>
        Target.IndexOf('?', StringComparison.Ordinal) is >= 0 and var query ? Target.AsSpan(0, query) : Target;

    /// <summary>The query without its question mark; null where there is none.</summary>
    public string? Query => Target.IndexOf('?', StringComparison.Ordinal) is >= 0 and var query ? Target[(query + 1)..] : null;

    private long Microseconds => (long)Duration.TotalMicroseconds;

    /// <summary>Writes its line.</summary>
    public void WriteTo(IBufferWriter<byte> lines)
    {
        if (Layout.Fields.Count > 0)
        {
            WriteJson(lines);
        }
        else
        {
            WriteText(lines);
        }
    }

    private void WriteText(IBufferWriter<byte> lines)
    {
        if (Client is null)
        {
            lines.Write("unix:"u8);
        }
        Utf8.TryWrite(
            lines.GetSpan(128 + 3 * Method.Length), CultureInfo.InvariantCulture,
            $"{Client} - - [{Time:dd/MMM/yyyy:HH:mm:ss} +0000] \"{Method} ", out var written);
        lines.Advance(written);
        WriteQuoted(lines, Layout.IsCombined && Layout.HasQuery ? Target : Path);
        if (Layout.IsCombined)
        {
            Utf8.TryWrite(
                lines.GetSpan(64 + 3 * Protocol.Length), CultureInfo.InvariantCulture, $" {Protocol}\" {Status} {Bytes} \"", out written);
            lines.Advance(written);
            WriteQuoted(lines, Referer ?? "-", ' ');
            lines.Write("\" \""u8);
            WriteQuoted(lines, UserAgent ?? "-", ' ');
            lines.Write("\"\n"u8);
            return;
        }
        var slash = Backend is null ? "" : "/";
        var (seconds, microseconds) = (Microseconds / 1_000_000, Microseconds % 1_000_000);
        Utf8.TryWrite(
            lines.GetSpan(128 + 3 * (Protocol.Length + (Pool?.Length ?? 0) + (Backend?.Length ?? 0))), CultureInfo.InvariantCulture,
            $" {Protocol}\" {Status} {Bytes} {seconds}.{microseconds:D6} {Pool ?? "-"}{slash}{Backend}\n", out written);
        lines.Advance(written);
    }

    // A character that could end the quotes or the line is percent-encoded.
    private static void WriteQuoted(IBufferWriter<byte> lines, ReadOnlySpan<char> text, char allowed = '\0')
    {
        var span = lines.GetSpan(3 * text.Length + 1);
        var written = 0;
        foreach (var c in text)
        {
            if (c != allowed && (c is '"' or '\\' or <= ' ' or >= '\u007f'))
            {
                Utf8.TryWrite(span[written..], CultureInfo.InvariantCulture, $"%{(int)c & 0xff:X2}", out _);
                written += 3;
            }
            else
            {
                span[written++] = (byte)c;
            }
        }
        lines.Advance(written);
    }

    private void WriteJson(IBufferWriter<byte> lines)
    {
        using (var json = new Utf8JsonWriter(lines))
        {
            json.WriteStartObject();
            foreach (var field in Layout.Fields)
            {
                json.WritePropertyName(field.Name);
                field.Write(json, this);
            }
            json.WriteEndObject();
        }
        lines.Write("\n"u8);
    }
}
