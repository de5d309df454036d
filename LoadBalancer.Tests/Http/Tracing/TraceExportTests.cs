using System.Text;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace LoadBalancer.Tests.Http.Tracing;

[NonParallelizable] // The environment is the process's.
internal sealed class TraceExportTests
{
    [TestCase("", "")]
    [TestCase("TRACES_", "/v1/traces")]
    public async Task Stop_ACollectorIsNamed_ItGetsTheSpans(string signal, string path)
    {
        var received = new TaskCompletionSource<string>();
        await using var collector = await KestrelBackend.StartAsync(
            async context =>
            {
                using var body = new MemoryStream();
                await context.Request.Body.CopyToAsync(body);
                if (context.Request.Path == "/v1/traces")
                {
                    received.TrySetResult(Encoding.Latin1.GetString(body.ToArray()));
                }
            },
            HttpProtocols.Http1);
        await using var backend = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        Environment.SetEnvironmentVariable($"OTEL_EXPORTER_OTLP_{signal}ENDPOINT", collector.Address + path);
        Environment.SetEnvironmentVariable($"OTEL_EXPORTER_OTLP_{signal}PROTOCOL", "http/protobuf");
        try
        {
            await using var node = await ConfiguredNode.StartRawAsync($$"""
                { "LoadBalancer": {
                    "Tracing": { "Sample": 1 },
                    "Listeners": { "web": { "Address": "http://127.0.0.1:0", "Pool": "web" } },
                    "Pools": { "web": { "Backends": { "b1": { "Address": "{{backend.Address}}" } } } } } }
                """);
            (await RawPeer.ExchangeAsync(node.Port, "GET /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n"))
                .Should().StartWith("HTTP/1.1 200");

            await node.StopAsync();

            (await received.Task).Should().Contain("http.response.status_code").And.Contain("url.full").And.Contain("a.test")
                .And.Contain("loadbalancer.backend");
        }
        finally
        {
            Environment.SetEnvironmentVariable($"OTEL_EXPORTER_OTLP_{signal}ENDPOINT", null);
            Environment.SetEnvironmentVariable($"OTEL_EXPORTER_OTLP_{signal}PROTOCOL", null);
        }
    }
}
