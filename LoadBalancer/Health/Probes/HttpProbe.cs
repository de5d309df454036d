using System.Globalization;
using System.Net;
using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Pools;
using LoadBalancer.Tls;

namespace LoadBalancer.Health.Probes;

/// <summary>
/// Sends the request of the health check. Its status decides; where a text is expected in the body, it must be there too, else only the
/// head of the response is read.
/// </summary>
internal sealed class HttpProbe : IProbe
{
    private readonly Func<ProbeRequest, CancellationToken, Task<ProbeAnswer>> _send;
    private readonly BackendTrust _trust;
    private readonly HealthCheckOptions _options;
    private readonly TimeProvider _time;
    private readonly bool _isHttp2;
    private readonly StatusRanges _statuses;
    private readonly byte[] _body;
    private readonly List<(string Name, string Value)> _fields;

    /// <summary>Makes it.</summary>
    /// <param name="send">Sends the requests, each over a connection of its own; without a time-out of its own.</param>
    /// <param name="trust">Verifies the certificates of https:// backends.</param>
    /// <param name="options">The pool's health check, which must be valid.</param>
    /// <param name="version">The HTTP version for http:// backends; https:// backends negotiate it.</param>
    /// <param name="time">The clock of the time-out.</param>
    public HttpProbe(
        Func<ProbeRequest, CancellationToken, Task<ProbeAnswer>> send, BackendTrust trust, HealthCheckOptions options, Version version,
        TimeProvider time)
    {
        (_send, _trust, _options, _time) = (send, trust, options, time);
        _isHttp2 = version == HttpVersion.Version20;
        _statuses = StatusRanges.TryParse(options.Status, out var statuses) ? statuses
            : throw new ArgumentException($"'{options.Status}' is not valid", nameof(options));
        _body = Encoding.UTF8.GetBytes(options.Body ?? "");
        _fields = FieldsOf(options);
    }

    /// <inheritdoc/>
    public Task<ProbeResult?> ProbeAsync(Backend backend, CancellationToken cancellationToken) =>
        IProbe.InTimeAsync(token => AskAsync(backend, token), _options.Timeout, _time, cancellationToken);

    /// <summary>The further fields of a probe's request.</summary>
    internal static List<(string Name, string Value)> FieldsOf(HealthCheckOptions options)
    {
        var fields = options.Headers.Select(field => (field.Key, field.Value)).ToList();
        if (!options.Headers.Keys.Contains("User-Agent", StringComparer.OrdinalIgnoreCase))
        {
            fields.Insert(0, ("User-Agent", "loadbalancer-probe"));
        }
        return fields;
    }

    private async Task<ProbeResult> AskAsync(Backend backend, CancellationToken cancellationToken)
    {
        var request = new ProbeRequest
        {
            Backend = backend,
            Address = IProbe.AddressOf(backend, _options),
            Trust = _trust,
            IsHttp2 = _isHttp2,
            Method = _options.Method,
            Target = _options.Path,
            Host = IProbe.HostOf(backend, _options),
            Fields = _fields,
            BodyLimit = _body.Length > 0 ? HealthCheckOptions.MaxBody : 0,
            Awaited = _body,
        };
        var answer = await _send(request, cancellationToken);
        var isFound = _body.Length == 0 || answer.Body.Span.IndexOf(_body) >= 0;
        return new ProbeResult(
            _statuses.Contains(answer.Status) && isFound,
            string.Create(CultureInfo.InvariantCulture,
                $"{_options.Method} {_options.Path} answered {answer.Status}{(isFound ? "" : " without the expected text")}"));
    }
}
