using System.Net;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Http.Forwarding;

/// <summary>What the operator reads about an attempt that failed: the cause in plain words, and the backend.</summary>
internal sealed class FailedAttemptTests
{
    private const string Get = "GET /late HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

    [Test]
    public async Task Get_NoAnswerInTime_IsLoggedAsThat([Values(HttpProtocols.Http1, HttpProtocols.Http2)] HttpProtocols protocol)
    {
        var clock = new FakeTimeProvider();
        var file = Path.GetTempFileName();
        try
        {
            await using var backend = await KestrelBackend.StartAsync(
                context => Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, context.RequestAborted), protocol);
            await using (var node = await TestNode.StartAsync(
                [backend.Address],
                pool => pool with { HttpVersion = protocol == HttpProtocols.Http2 ? HttpVersion.Version20 : HttpVersion.Version11 },
                listener => listener with { AccessLog = file },
                clock))
            {
                var answer = node.ExchangeAsync(Get);
                await Eventually.BeTrueAsync(() => backend.Requests.Count == 1, "the request is under way");
                // The backend may have the request a moment before the time begins to count.
                await Eventually.BeTrueAsync(
                    () =>
                    {
                        clock.Advance(TimeSpan.FromMinutes(1));
                        return answer.IsCompleted;
                    },
                    "the time is over");

                (await answer).Should().StartWith("HTTP/1.1 504");
                await node.Log.SaysAsync("backend 'b1' failed a request", "no answer within 60 s");
                await node.StopAsync();
            }

            File.ReadLines(file).Should().ContainSingle().Which.Should().Contain(" 504 ").And.EndWith(" web/b1");
        }
        finally
        {
            File.Delete(file);
        }
    }

    [Test]
    public async Task Get_NameHasNoAddress_IsADnsError([Values("1.1", "2.0")] string version)
    {
        await using var node = await TestNode.StartAsync(
            ["http://nowhere.invalid:80"], pool => pool with { HttpVersion = Version.Parse(version) });

        (await node.ExchangeAsync(Get)).Should().StartWith("HTTP/1.1 502").And.Contain("Proxy-Status: loadbalancer; error=dns_error\r\n");
        await node.Log.SaysAsync("backend 'b1' failed a request", "host not found");
    }
}
