using System.Buffers;
using System.Globalization;
using System.Net;
using System.Text.Json;
using System.Text.Unicode;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Diagnostics.Access;

/// <summary>One request in the access log. Filled in while the request runs, written when it is over.</summary>
public sealed class AccessRecord
{
    /// <summary>The format of its line.</summary>
    public AccessLogFormat Format { get; init; }

    /// <summary>When the request arrived.</summary>
    public DateTimeOffset Time { get; init; }

    /// <summary>The same as a timestamp of the clock, from which <see cref="Duration"/> is measured.</summary>
    public long Start { get; init; }

    /// <summary>The address that it came from.</summary>
    public IPAddress? Client { get; init; }

    /// <summary>Its method.</summary>
    public required string Method { get; init; }

    /// <summary>Its target as it was sent; the query, which may hold secrets, is never written.</summary>
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

    private ReadOnlySpan<char> Path =>
        Target.IndexOf('?', StringComparison.Ordinal) is >= 0 and var query ? Target.AsSpan(0, query) : Target;

    private long Microseconds => (long)Duration.TotalMicroseconds;

    /// <summary>Writes its line.</summary>
    public void WriteTo(IBufferWriter<byte> lines)
    {
        if (Format == AccessLogFormat.Json)
        {
            WriteJson(lines);
        }
        else
        {
            WriteCommon(lines);
        }
    }

    private void WriteCommon(IBufferWriter<byte> lines)
    {
        Utf8.TryWrite(
            lines.GetSpan(128 + 3 * Method.Length), CultureInfo.InvariantCulture,
            $"{Client} - - [{Time:dd/MMM/yyyy:HH:mm:ss} +0000] \"{Method} ", out var written);
        lines.Advance(written);
        var path = lines.GetSpan(3 * Target.Length);
        written = 0;
        foreach (var c in Path)
        {
            // A character that could end the quotes or the line is percent-encoded.
            if (c is '"' or '\\' or <= ' ' or >= '\u007f')
            {
                Utf8.TryWrite(path[written..], CultureInfo.InvariantCulture, $"%{(int)c:X2}", out _);
                written += 3;
            }
            else
            {
                path[written++] = (byte)c;
            }
        }
        lines.Advance(written);
        var slash = Backend is null ? "" : "/";
        var (seconds, microseconds) = (Microseconds / 1_000_000, Microseconds % 1_000_000);
        Utf8.TryWrite(
            lines.GetSpan(128 + 3 * (Protocol.Length + (Pool?.Length ?? 0) + (Backend?.Length ?? 0))), CultureInfo.InvariantCulture,
            $" {Protocol}\" {Status} {Bytes} {seconds}.{microseconds:D6} {Pool ?? "-"}{slash}{Backend}\n", out written);
        lines.Advance(written);
    }

    private void WriteJson(IBufferWriter<byte> lines)
    {
        using (var json = new Utf8JsonWriter(lines))
        {
            json.WriteStartObject();
            json.WriteString("time", Time.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture));
            json.WriteString("client", Client?.ToString());
            json.WriteString("method", Method);
            json.WriteString("path", Path);
            json.WriteString("protocol", Protocol);
            json.WriteNumber("status", Status);
            json.WriteNumber("bytes", Bytes);
            json.WriteNumber("seconds", Microseconds / 1e6m);
            json.WriteString("backend", Backend is null ? null : $"{Pool}/{Backend}");
            json.WriteEndObject();
        }
        lines.Write("\n"u8);
    }
}
