using LoadBalancer.Diagnostics.Metrics;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Diagnostics.Metrics;

[NonParallelizable]
internal sealed class OtlpExportTests
{
    [Test]
    public async Task Stop_ACollectorIsNamed_ItGetsTheMetrics()
    {
        var received = new TaskCompletionSource<(string Path, string Body)>();
        await using var collector = await KestrelBackend.StartAsync(
            async context =>
            {
                using var body = new MemoryStream();
                await context.Request.Body.CopyToAsync(body);
                received.TrySetResult((context.Request.Path, System.Text.Encoding.Latin1.GetString(body.ToArray())));
                context.Response.StatusCode = 200;
            },
            HttpProtocols.Http1);
        Environment.SetEnvironmentVariable("OTEL_EXPORTER_OTLP_ENDPOINT", collector.Address);
        Environment.SetEnvironmentVariable("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf");
        try
        {
            OtlpExport.IsWanted.Should().BeTrue();
            var pool = PoolOf(Unprobed("a"));
            using var metrics = new NodeMetrics(() => [pool], () => new NodeCounts(0, 0, 0, []));
            pool.Statistics.Instruments = metrics.Durations;
            using var export = new OtlpExport();

            await export.StartAsync(default);
            pool.TryAcquire(new SelectionContext(), out var lease).Should().BeTrue();
            lease!.CountAnswer(200, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(2));
            await export.StopAsync(default);

            var (path, body) = await received.Task;
            path.Should().Be("/v1/metrics");
            body.Should().Contain("loadbalancer.requests").And.Contain("loadbalancer.request.duration")
                .And.Contain("loadbalancer.backend.healthy").And.Contain("loadbalancer.queue.length");
        }
        finally
        {
            Environment.SetEnvironmentVariable("OTEL_EXPORTER_OTLP_ENDPOINT", null);
            Environment.SetEnvironmentVariable("OTEL_EXPORTER_OTLP_PROTOCOL", null);
        }
    }

    [Test]
    public void IsWanted_NoCollectorIsNamed_IsFalse() => OtlpExport.IsWanted.Should().BeFalse();
}
