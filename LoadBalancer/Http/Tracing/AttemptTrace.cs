using System.Diagnostics;
using System.Globalization;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http.Tracing;

/// <summary>The span of one attempt at a backend. The backend gets it as <c>traceparent</c>.</summary>
/// <param name="span">The span, started.</param>
/// <param name="hasParent">Whether the client has sent the trace.</param>
internal sealed class AttemptTrace(Activity span, bool hasParent)
{
    /// <summary>What ends an attempt whose response nobody waits for any more.</summary>
    public const string Cancelled = "cancelled";

    /// <summary>The value of <c>traceparent</c>.</summary>
    public string TraceParent { get; } = span.Id!;

    /// <summary>Whether it has not ended.</summary>
    public bool IsRunning { get; private set; } = true;

    /// <summary>
    /// Whether a field of the client's does not reach the backend. A <c>tracestate</c> without a valid trace belongs to none.
    /// </summary>
    public bool Replaces(string name) => name.Length is 10 or 11
        && (name.Equals(HeaderNames.TraceParent, StringComparison.OrdinalIgnoreCase)
            || !hasParent && name.Equals(HeaderNames.TraceState, StringComparison.OrdinalIgnoreCase));

    /// <summary>The head of the response is there.</summary>
    /// <param name="status">Its status.</param>
    /// <param name="version">The version of HTTP.</param>
    public void SetResponse(int status, string version)
    {
        span.SetTag("http.response.status_code", status);
        span.SetTag("network.protocol.version", version);
        if (status >= 400)
        {
            SetError(status.ToString(CultureInfo.InvariantCulture));
        }
    }

    /// <summary>Ends it.</summary>
    /// <param name="error">Why there is no response, or not the whole; null where there is.</param>
    public void End(string? error = null)
    {
        if (!IsRunning)
        {
            return;
        }
        IsRunning = false;
        if (error is not null)
        {
            SetError(error);
        }
        span.Stop();
    }

    private void SetError(string type)
    {
        span.SetTag("error.type", type);
        span.SetStatus(type == Cancelled ? ActivityStatusCode.Unset : ActivityStatusCode.Error); // A cancelled attempt has not failed.
    }
}
