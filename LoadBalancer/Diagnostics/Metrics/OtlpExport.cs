using OpenTelemetry;
using OpenTelemetry.Metrics;

namespace LoadBalancer.Diagnostics.Metrics;

/// <summary>
/// Sends the metrics of <see cref="NodeMetrics"/> to a collector by OTLP, as the <c>OTEL_</c> variables of the environment say. Only made
/// where <c>OTEL_EXPORTER_OTLP_ENDPOINT</c> is set.
/// </summary>
public sealed class OtlpExport : IHostedService, IDisposable
{
    private MeterProvider? _provider;

    /// <summary>Whether the environment names a collector.</summary>
    public static bool IsWanted => Environment.GetEnvironmentVariable("OTEL_EXPORTER_OTLP_ENDPOINT") is { Length: > 0 };

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        _provider = Sdk.CreateMeterProviderBuilder().AddMeter(NodeMetrics.MeterName).AddOtlpExporter().Build();
        return Task.CompletedTask;
    }

    /// <summary>Exports once more, and stops.</summary>
    public Task StopAsync(CancellationToken cancellationToken)
    {
        Dispose();
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public void Dispose() => _provider?.Dispose();
}
