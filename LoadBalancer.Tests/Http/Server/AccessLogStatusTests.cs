using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Http.Server;
using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;

namespace LoadBalancer.Tests.Http.Server;

/// <summary>The status in the access log is the one that the client saw, whatever happens after the pipeline has chosen one.</summary>
internal sealed class AccessLogStatusTests
{
    private static readonly Dictionary<string, RequestDelegate> Pipelines = new()
    {
        ["Throws"] = _ => throw new InvalidOperationException("test"),
        ["ThrowsAfterAnAwait"] = async _ =>
        {
            await Task.Yield();
            throw new InvalidOperationException("test");
        },
        ["RefusesTheRequest"] = _ => throw new BadHttpRequestException("test", 413),
        ["FailsAsTheResponseStarts"] = context =>
        {
            context.Response.OnStarting(() => throw new InvalidOperationException("test"));
            return Task.CompletedTask;
        },
        ["WritesLessThanItPromised"] = context =>
        {
            context.Response.ContentLength = 5;
            return Task.CompletedTask;
        },
        ["Answers"] = context => context.Response.WriteAsync("ok"),
    };

    [TestCase("Throws", 500)]
    [TestCase("ThrowsAfterAnAwait", 500)]
    [TestCase("RefusesTheRequest", 413)]
    [TestCase("FailsAsTheResponseStarts", 500)]
    [TestCase("WritesLessThanItPromised", 500)]
    [TestCase("Answers", 200)]
    public async Task Status_WhateverThePipelineDoes_IsWhatTheClientSaw(string pipeline, int expected)
    {
        using var directory = new TemporaryDirectory();
        var (time, file) = (TimeProvider.System, directory.File("access.log"));
        var options = new HttpListenerOptions { Address = TestNode.Parse("http://127.0.0.1:0"), Pool = "web", AccessLog = file };
        using var logs = new AccessLogs(time, NullLogger<AccessLog>.Instance);
        logs.Open(new Dictionary<string, ListenerOptions> { ["web"] = options });
        await logs.StartAsync(CancellationToken.None);
        using (var listener = new KestrelListener(
            "web", options, Pipelines[pipeline], logs.For(options), null, new ListenSockets(), time, NullLoggerFactory.Instance))
        {
            await listener.StartAsync(CancellationToken.None);
            var port = new Uri(listener.Address).Port;
            var answer = await RawPeer.ExchangeAsync(port, "GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            answer.Should().StartWith($"HTTP/1.1 {expected} ");
            await listener.StopAsync(CancellationToken.None);
        }
        await logs.StopAsync(CancellationToken.None);

        (await File.ReadAllLinesAsync(file)).Should().ContainSingle().Which.Should().Contain($"\"GET /x HTTP/1.1\" {expected} ");
    }
}
