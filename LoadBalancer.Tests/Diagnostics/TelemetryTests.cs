using LoadBalancer.Diagnostics;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using static LoadBalancer.Tests.Support.TestBackends;

namespace LoadBalancer.Tests.Diagnostics;

[NonParallelizable]
internal sealed class TelemetryTests
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
            Telemetry.IsWanted.Should().BeTrue();
            var pool = PoolOf(Unprobed("a"));
            pool.Snapshot.Members[0].Answers.Count(200, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(2));
            using var telemetry = new Telemetry(() => [pool]);

            await telemetry.StartAsync(default);
            Telemetry.CountDuration("pool", "a", 200, TimeSpan.FromSeconds(2));
            await telemetry.StopAsync(default);

            var (path, body) = await received.Task;
            path.Should().Be("/v1/metrics");
            body.Should().Contain("loadbalancer.requests").And.Contain("loadbalancer.request.duration").And.Contain("loadbalancer.backend.healthy").And.Contain("loadbalancer.queue.length");
        }
        finally
        {
            Environment.SetEnvironmentVariable("OTEL_EXPORTER_OTLP_ENDPOINT", null);
            Environment.SetEnvironmentVariable("OTEL_EXPORTER_OTLP_PROTOCOL", null);
        }
    }

    [Test]
    public void IsWanted_NoCollectorIsNamed_IsFalse() => Telemetry.IsWanted.Should().BeFalse();
}
