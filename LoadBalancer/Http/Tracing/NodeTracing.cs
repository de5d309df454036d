using System.Diagnostics;
using LoadBalancer.Configuration.Options;
using OpenTelemetry;
using OpenTelemetry.Exporter;
using OpenTelemetry.Trace;

namespace LoadBalancer.Http.Tracing;

/// <summary>
/// Decides which requests of a node are traced, before there is a span: those whose trace is sampled (<c>traceparent</c>, W3C Trace
/// Context) and, of those that come without a trace, a share. Sends the spans by OTLP, as the <c>OTEL_</c> variables of the environment
/// say.
/// </summary>
/// <param name="logger">Says where no spans are sent.</param>
public sealed partial class NodeTracing(ILogger<NodeTracing> logger) : IHostedService, IDisposable
{
    /// <summary>The name of the source of all spans.</summary>
    public const string SourceName = "LoadBalancer";

    private const string Endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT";
    private const string TracesEndpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

    // A collector that does not answer delays a stop by so much, in milliseconds.
    private const int LongestFlush = 2000;

    private readonly Lock _gate = new(); // guards the two that follow
    private TracerProvider? _export;
    private bool _isStarted;
    private volatile TracingOptions? _options;

    /// <summary>Whether any request may be traced.</summary>
    public bool IsOn => _options is not null;

    /// <summary>The source of all spans.</summary>
    internal static ActivitySource Source { get; } = new(SourceName);

    /// <summary>Takes new options; null: no request is traced.</summary>
    public void Apply(TracingOptions? options)
    {
        _options = options;
        ExportIfWanted();
    }

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            _isStarted = true;
        }
        ExportIfWanted();
        return Task.CompletedTask;
    }

    /// <summary>Sends what has not been sent, and stops.</summary>
    public Task StopAsync(CancellationToken cancellationToken)
    {
        Dispose();
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _isStarted = false;
            _export?.Shutdown(LongestFlush); // Dispose alone would wait for 5 s.
            _export?.Dispose();
            _export = null;
        }
    }

    /// <summary>Begins the trace of a request; null where it is not traced.</summary>
    internal RequestTrace? Begin(HttpContext context)
    {
        if (_options is not { } options)
        {
            return null;
        }
        var headers = context.Request.Headers;
        var hasParent = TryReadParent(headers, out var parent);
        var isSampled = hasParent
            ? parent.TraceFlags.HasFlag(ActivityTraceFlags.Recorded)
            : options.Sample > 0 && Random.Shared.NextDouble() < options.Sample;
        // There is none where nobody listens.
        return isSampled && Source.CreateActivity(context.Request.Method, ActivityKind.Server, parent) is { } span
            ? new RequestTrace(span, hasParent, context)
            : null;
    }

    // A field that is not valid counts as absent (W3C Trace Context section 4.3). The framework does not look at the hyphens.
    private static bool TryReadParent(IHeaderDictionary headers, out ActivityContext parent)
    {
        parent = default;
        return headers.TraceParent is [{ Length: 55 } field] && (field[2], field[35], field[52]) == ('-', '-', '-')
            && ActivityContext.TryParse(field, headers.TraceState is { Count: > 0 } state ? state.ToString() : null, true, out parent);
    }

    private void ExportIfWanted()
    {
        lock (_gate)
        {
            if (!_isStarted || !IsOn || _export is not null)
            {
                return;
            }
            var ofTraces = Variable(TracesEndpoint);
            Uri? endpoint = null;
            if (ofTraces is null ? Variable(Endpoint) is null : !Uri.TryCreate(ofTraces, UriKind.Absolute, out endpoint))
            {
                LogNowhere();
                return;
            }
            _export = Sdk.CreateTracerProviderBuilder().AddSource(SourceName).SetSampler(new AlwaysOnSampler())
                .AddOtlpExporter(otlp => ReadVariablesOfTraces(otlp, endpoint)).Build();
        }
    }

    // The library reads the variables that hold for everything, and not those that hold for traces alone.
    private static void ReadVariablesOfTraces(OtlpExporterOptions otlp, Uri? endpoint)
    {
        if (endpoint is not null)
        {
            otlp.Endpoint = endpoint; // Used as it is; the library adds a path to its own only.
        }
        otlp.Headers = Variable("OTEL_EXPORTER_OTLP_TRACES_HEADERS") ?? otlp.Headers;
        otlp.Protocol = Variable("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") switch
        {
            "http/protobuf" => OtlpExportProtocol.HttpProtobuf,
            "grpc" => OtlpExportProtocol.Grpc,
            _ => otlp.Protocol,
        };
    }

    private static string? Variable(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null;

    [LoggerMessage(170, LogLevel.Warning,
        "Tracing is set, but no address of a collector is in the environment, so no spans are sent; set OTEL_EXPORTER_OTLP_ENDPOINT")]
    private partial void LogNowhere();
}
