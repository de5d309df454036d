using System.Net;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace LoadBalancer.Tests.Http.Upstream.Http2;

/// <summary>Heads that the listener accepts, but perhaps not the backend: Kestrel announces a limit of 32 KiB.</summary>
internal sealed class LargeHeadTests
{
    [Test]
    public async Task Get_HeadLargerThanTheBackendAccepts_Is431AndNoFailureOfTheBackend()
    {
        await using var backend = await KestrelBackend.StartAsync(_ => Task.CompletedTask, HttpProtocols.Http2);
        await using var node = await StartAsync(backend);

        for (var i = 0; i < 3; i++)
        {
            (await node.ExchangeAsync(GetOf(fields: 95, size: 330))).Should().StartWith("HTTP/1.1 431");
        }

        backend.Requests.Should().BeEmpty();
        node.Pool.Snapshot.Members[0].Failures.Should().Be(0);
    }

    [Test]
    public async Task Get_HeadThatTheBackendAccepts_ArrivesWhole()
    {
        var seen = 0;
        await using var backend = await KestrelBackend.StartAsync(
            context =>
            {
                seen = context.Request.Headers.Where(field => field.Key.StartsWith("x-", StringComparison.OrdinalIgnoreCase))
                    .Sum(field => field.Value.ToString().Length);
                return context.Response.WriteAsync("ok");
            },
            HttpProtocols.Http2);
        await using var node = await StartAsync(backend);

        (await node.ExchangeAsync(GetOf(fields: 60, size: 400))).Should().StartWith("HTTP/1.1 200");

        seen.Should().BeGreaterThanOrEqualTo(60 * 400); // in more than one frame
    }

    private static Task<TestNode> StartAsync(KestrelBackend backend) =>
        TestNode.StartAsync([backend.Address], pool => pool with { HttpVersion = HttpVersion.Version20 });

    private static string GetOf(int fields, int size) =>
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        + string.Concat(Enumerable.Range(0, fields).Select(i => $"x-{i}: {new string('v', size)}\r\n")) + "\r\n";
}
