using LoadBalancer.Management;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Http.Forwarding;

/// <summary>Outliers among real servers.</summary>
internal sealed class OutlierTests
{
    [Test]
    public async Task Get_OneServerAnswersWithErrors_IsEjectedAndComesBack()
    {
        var clock = new FakeTimeProvider();
        var isBroken = true;
        var servers = Enumerable.Range(1, 6).Select(number => new RawServer(async (peer, _) =>
        {
            while (await peer.ReadHeadAsync() is not null)
            {
                var status = number == 3 && Volatile.Read(ref isBroken) ? "503 Service Unavailable" : "200 OK";
                await peer.SendAsync($"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nb{number}");
            }
        })).ToList();
        await using var node = await TestNode.StartAsync(
            servers.Select(server => server.Address),
            pool => pool with
            {
                PassiveHealth = new()
                {
                    Outliers = new() { MinRequests = 10, CountServerErrors = true },
                    Ejection = TimeSpan.FromSeconds(5),
                },
            },
            time: clock);
        var bad = node.Pool.Snapshot.Members[2];
        await SendAsync(node, 60);

        clock.Advance(TimeSpan.FromSeconds(10));

        const string Reason =
            "outlier: 0.0 % of 10 requests succeeded in 10 s; the mean of 6 backends is 83.3 %, the limit 12.5 %";
        bad.Health.IsUp.Should().BeFalse();
        bad.Health.Reason.Should().Be(Reason);
        node.Log.Lines.Where(line => line.Contains("b3", StringComparison.Ordinal)).Should().ContainSingle()
            .Which.Should().Contain($"pool 'web': backend 'b3' is down: {Reason}");
        var json = StatusJson.Pools([node.Pool])[0]!;
        json["outliers"]!.ToJsonString().Should().Be(
            """{"backends":6,"meanSuccessShare":0.8333,"leastSuccessShare":0.1252"""
            + ""","medianMs":0.001,"longestMedianMs":100.001,"ejected":1}""");
        json["backends"]![2]!["outlier"]!.ToJsonString().Should().Be("""{"requests":10,"successShare":0,"medianMs":0.001}""");
        (await SendAsync(node, 20)).Should().NotContain("b3");

        Volatile.Write(ref isBroken, false);
        clock.Advance(TimeSpan.FromSeconds(5));
        await Eventually.BeTrueAsync(() => bad.Health.IsUp, "the ejection is over");
        (await SendAsync(node, 12)).Should().Contain("b3");
        foreach (var server in servers)
        {
            await server.DisposeAsync();
        }
    }

    private static async Task<List<string>> SendAsync(TestNode node, int count)
    {
        List<string> answers = [];
        for (var i = 0; i < count; i++)
        {
            using var response = await node.Client.GetAsync("/");
            answers.Add(await response.Content.ReadAsStringAsync());
        }
        // The lease may be given back a moment after the client has its response.
        await Eventually.BeTrueAsync(
            () => node.Pool.Snapshot.Members.All(backend => backend.InFlight == 0)
                && node.Pool.Snapshot.Members.Sum(backend => backend.Answers.Codes().Sum(code => code.Count))
                    == node.Pool.Snapshot.Members.Sum(backend => backend.Requests),
            "all are counted");
        return answers;
    }
}
