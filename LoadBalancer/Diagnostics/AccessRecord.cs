using System.Globalization;
using System.Net;
using System.Text;

namespace LoadBalancer.Diagnostics;

/// <summary>One request, as the access log tells it. Filled in while the request runs, written down later.</summary>
public sealed class AccessRecord
{
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

    /// <summary>Adds its line: the Common Log Format, then seconds and backend.</summary>
    public void AppendTo(StringBuilder lines)
    {
        lines.Append(Client).Append(CultureInfo.InvariantCulture, $" - - [{Time:dd/MMM/yyyy:HH:mm:ss} +0000] \"{Method} ");
        var query = Target.IndexOf('?', StringComparison.Ordinal);
        foreach (var c in query < 0 ? Target : Target.AsSpan(0, query))
        {
            // What could end the quotes, or the line, is written as a URI would have it.
            lines = c is '"' or '\\' or <= ' ' or >= '\u007f' ? lines.Append(CultureInfo.InvariantCulture, $"%{(int)c:X2}") : lines.Append(c);
        }
        lines.Append(CultureInfo.InvariantCulture, $" {Protocol}\" {Status} {Bytes} {Duration.TotalSeconds:0.000000} {Backend ?? "-"}\n");
    }
}
