using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Forwarding;

/// <summary>Who gets how many requests, through the whole proxy.</summary>
internal sealed class BalancingTests
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    [Test]
    public async Task Get_TwoBackends_AreUsedInTurn()
    {
        await using var one = RawServer.Answering(Ok.Replace("ok", "b1", StringComparison.Ordinal));
        await using var two = RawServer.Answering(Ok.Replace("ok", "b2", StringComparison.Ordinal));
        await using var node = await TestNode.StartAsync([one.Address, two.Address]);

        var answers = new List<string>();
        for (var i = 0; i < 4; i++)
        {
            answers.Add(await node.Client.GetStringAsync("/"));
        }

        answers.Should().Equal("b1", "b2", "b1", "b2");
    }

    [Test]
    public async Task Get_Weights_AreSharesToTheRequest()
    {
        await using var one = RawServer.Answering(Ok);
        await using var two = RawServer.Answering(Ok);
        await using var three = RawServer.Answering(Ok);
        await using var none = RawServer.Answering(Ok);
        int[] weights = [5, 3, 1, 0];
        await using var node = await TestNode.StartAsync(
            [one.Address, two.Address, three.Address, none.Address],
            pool => pool with
            {
                Backends = pool.Backends.Zip(weights)
                .ToDictionary(pair => pair.First.Key, pair => pair.First.Value with { Weight = pair.Second })
            });

        await Task.WhenAll(Enumerable.Range(0, 8).Select(async _ =>
        {
            for (var i = 0; i < 9; i++)
            {
                (await node.Client.GetStringAsync("/")).Should().Be("ok");
            }
        }));

        node.Pool.Snapshot.Members.Select(backend => backend.Requests).Should().Equal(40, 24, 8, 0);
    }

    [Test]
    public async Task MaxInFlight_AutoAndMoreThanFit_Is503WithRetryAfterUntilOneHasAHead()
    {
        var (answer, end) = (new TaskCompletionSource(), new TaskCompletionSource());
        var arrived = 0;
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            await (Interlocked.Increment(ref arrived) == 1 ? answer.Task : end.Task);
            await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"); // a stream that goes on
            await end.Task;
        });
        await using var node = await TestNode.StartAsync([backend.Address], pool => pool with { MaxInFlight = InFlightLimit.Auto });
        var gets = Enumerable.Range(0, 20)
            .Select(_ => node.Client.GetAsync("/", HttpCompletionOption.ResponseHeadersRead)).ToList();
        await Eventually.BeTrueAsync(() => backend.Accepted == 20, "it has what it takes");

        using (var surplus = await node.Client.GetAsync("/"))
        {
            surplus.StatusCode.Should().Be(HttpStatusCode.ServiceUnavailable);
            surplus.Headers.RetryAfter!.Delta.Should().BeGreaterThan(TimeSpan.Zero);
        }
        node.Pool.Snapshot.Members.Select(member => (member.MaxInFlight, member.InFlight)).Should().Equal((20, 20));
        answer.SetResult();
        (await await Task.WhenAny(gets)).StatusCode.Should().Be(HttpStatusCode.OK);
        gets.Add(node.Client.GetAsync("/", HttpCompletionOption.ResponseHeadersRead));

        await Eventually.BeTrueAsync(() => backend.Accepted == 21, "a stream that is open takes no place");
        end.SetResult();
        (await Task.WhenAll(gets)).Should().OnlyContain(response => response.StatusCode == HttpStatusCode.OK);
    }

    [Test]
    public async Task MaxInFlight_Reached_GoesToTheOtherAndThen503AtOnce()
    {
        var answer = new TaskCompletionSource();
        Func<RawPeer, int, Task> serve = async (peer, _) =>
        {
            while (await peer.ReadHeadAsync() is not null)
            {
                await answer.Task;
                await peer.SendAsync(Ok);
            }
        };
        await using var one = new RawServer(serve);
        await using var two = new RawServer(serve);
        await using var node = await TestNode.StartAsync(
            [one.Address, two.Address],
            pool => pool with
            {
                Policy = PolicyName.First,
                Backends = pool.Backends.ToDictionary(entry => entry.Key, entry => entry.Value with { MaxInFlight = 2 })
            });

        var gets = Enumerable.Range(0, 4).Select(_ => node.Client.GetStringAsync("/")).ToList();
        await Eventually.BeTrueAsync(() => (one.Accepted, two.Accepted) == (2, 2), "each has what it takes");
        using (var surplus = await node.Client.GetAsync("/"))
        {
            surplus.StatusCode.Should().Be(HttpStatusCode.ServiceUnavailable);
            (await surplus.Content.ReadAsStringAsync()).Should().Be("No backend available\n");
        }
        answer.SetResult();

        (await Task.WhenAll(gets)).Should().OnlyContain(body => body == "ok");
        (await node.Client.GetStringAsync("/")).Should().Be("ok");
        node.Pool.Snapshot.Members.Select(backend => (backend.Requests, backend.InFlight)).Should().Equal((3, 0), (2, 0));
    }
}
