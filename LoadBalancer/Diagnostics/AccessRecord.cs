using System.Globalization;
using System.Net;
using System.Text;
using System.Text.Json;
using LoadBalancer.Configuration;

namespace LoadBalancer.Diagnostics;

/// <summary>One request, as the access log tells it. Filled in while the request runs, written down later.</summary>
public sealed class AccessRecord
{
    /// <summary>How it is written down.</summary>
    public AccessLogFormat Format { get; init; }

    /// <summary>When the request arrived.</summary>
    public DateTimeOffset Time { get; init; }

    /// <summary>Who sent it.</summary>
    public IPAddress? Client { get; init; }

    /// <summary>Its method.</summary>
    public required string Method { get; init; }

    /// <summary>Its target as it was sent; the query, which may hold secrets, is never written.</summary>
    public required string Target { get; init; }

    /// <summary>Its protocol, such as <c>HTTP/1.1</c>.</summary>
    public required string Protocol { get; init; }

    /// <summary>The status of the answer; 499 where the client did not wait for it.</summary>
    public int Status { get; set; }

    /// <summary>The bytes of the answer's body.</summary>
    public long Bytes { get; set; }

    /// <summary>From the request's head to the end of the answer.</summary>
    public TimeSpan Duration { get; set; }

    /// <summary>The backend that answered, as <c>pool/backend</c>; null where the load balancer did.</summary>
    public string? Backend { get; set; }

    /// <summary>Adds its line.</summary>
    public void AppendTo(StringBuilder lines)
    {
        if (Format == AccessLogFormat.Json)
        {
            AppendJson(lines);
        }
        else
        {
            AppendCommon(lines);
        }
    }

    private ReadOnlySpan<char> Path => Target.IndexOf('?', StringComparison.Ordinal) is >= 0 and var query ? Target.AsSpan(0, query) : Target;

    private void AppendCommon(StringBuilder lines)
    {
        lines.Append(Client).Append(CultureInfo.InvariantCulture, $" - - [{Time:dd/MMM/yyyy:HH:mm:ss} +0000] \"{Method} ");
        foreach (var c in Path)
        {
            // What could end the quotes, or the line, is written as a URI would have it.
            lines = c is '"' or '\\' or <= ' ' or >= '\u007f' ? lines.Append(CultureInfo.InvariantCulture, $"%{(int)c:X2}") : lines.Append(c);
        }
        lines.Append(CultureInfo.InvariantCulture, $" {Protocol}\" {Status} {Bytes} {Duration.TotalSeconds:0.000000} {Backend ?? "-"}\n");
    }

    private void AppendJson(StringBuilder lines)
    {
        lines.Append(CultureInfo.InvariantCulture, $"{{\"time\":\"{Time:yyyy-MM-dd'T'HH:mm:ss.fff'Z'}\",\"client\":\"{Client}\",\"method\":\"{JsonEncodedText.Encode(Method)}\",");
        lines.Append(CultureInfo.InvariantCulture, $"\"path\":\"{JsonEncodedText.Encode(Path)}\",\"protocol\":\"{JsonEncodedText.Encode(Protocol)}\",\"status\":{Status},\"bytes\":{Bytes},");
        lines.Append(CultureInfo.InvariantCulture, $"\"seconds\":{Duration.TotalSeconds:0.000000},\"backend\":{(Backend is null ? "null" : $"\"{JsonEncodedText.Encode(Backend)}\"")}}}\n");
    }
}
