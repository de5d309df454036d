using LoadBalancer.Tests.Support;
using LoadBalancer.Tests.Zmtp;

namespace LoadBalancer.Tests.Broker;

/// <summary>Whatever a ZeroMQ client does alone: no worker loses its connection for it, or looks ill.</summary>
internal sealed class ClientFaultTests
{
    private static readonly string[] Body = ["", "client", "QUERY"];

    // Each is what one client sends after its READY, as a peer of a type, and whether it then resets its connection.
    private static readonly (string Name, string Type, string Sent, bool IsReset)[] Faults =
    [
        ("a request as long as it may be", "DEALER", ZmtpBytes.MessageOf("", "client", new string('x', 65_000)), false),
        ("a request that is too long", "DEALER", ZmtpBytes.MessageOf("", "client", new string('x', 70_000)), false),
        ("an envelope of many frames", "DEALER",
            ZmtpBytes.MessageOf([.. Enumerable.Repeat("frame", 60), .. Body]), false),
        ("an envelope of too many frames", "DEALER", ZmtpBytes.MessageOf([.. Enumerable.Repeat("frame", 70), .. Body]), false),
        ("messages that are no requests", "DEALER", string.Concat(Enumerable.Repeat(ZmtpBytes.MessageOf("", "x"), 200)), false),
        ("an empty message", "REQ", ZmtpBytes.MessageOf(""), false),
        ("empty frames", "DEALER", ZmtpBytes.MessageOf("", "", ""), false),
        ("a request and a second one before the answer", "REQ", ZmtpBytes.MessageOf(Body) + ZmtpBytes.MessageOf(Body), false),
        ("many requests, and a reset", "DEALER", string.Concat(Enumerable.Repeat(ZmtpBytes.MessageOf(Body), 300)), true),
        ("half a request, and a reset", "DEALER", ZmtpBytes.MessageOf(Body)[..8], true),
        ("a command that does not exist", "DEALER", ZmtpBytes.CommandOf("JUNK", "data") + ZmtpBytes.MessageOf(Body), false),
        ("PINGs", "DEALER", string.Concat(Enumerable.Repeat(ZmtpBytes.CommandOf("PING", "\0\x0a"), 20_000)), false),
        ("ERROR", "DEALER", ZmtpBytes.CommandOf("ERROR", "\x01x"), false),
        ("a subscription", "DEALER", ZmtpBytes.CommandOf("SUBSCRIBE", "x"), false),
        ("flags that do not exist", "DEALER", "\xf8\x01x", false),
    ];

    [Test]
    public async Task Client_DoesWhatItShouldNot_NoWorkerLooksIll([Range(0, 14)] int number)
    {
        var (name, type, sent, isReset) = Faults[number];
        await using var node = await BrokerNode.StartAsync(options => options with { QueueLimit = 100 });
        await node.AnsweringWorkerAsync("good");
        var before = node.Pool.Snapshot.Members[0];

        var bad = new List<RawPeer>();
        for (var i = 0; i < 5; i++)
        {
            bad.Add(await RawPeer.ConnectAsync(node.Ports.Clients));
            await bad[^1].SendAsync(ZmtpBytes.LibzmqGreeting + ZmtpBytes.Ready(type, $"bad-{i}"));
            await bad[^1].ReadAsync(64 + ZmtpBytes.Ready("ROUTER", "").Length); // The handshake is over.
            try
            {
                await bad[^1].SendAsync(sent);
            }
            catch (System.Net.Sockets.SocketException)
            {
                // It was disconnected.
            }
            if (isReset)
            {
                bad[^1].Reset();
            }
        }

        string answer;
        do
        {
            answer = await node.AskAsync("PING");
        }
        while (answer == "FAIL"); // The queue was full.
        answer.Should().Be("good: PING", name);
        await Eventually.BeTrueAsync(
            () => node.Pool.Snapshot.Members is [{ InFlight: 0 }] && node.Listener.Serving!.Requests.WaitingCount == 0,
            $"all is done after {name}");
        var after = node.Pool.Snapshot.Eligible.Should().ContainSingle().Subject;
        after.Should().BeSameAs(before, "the worker has kept its connection");
        after.Failures.Should().Be(0);
        node.Status.Refused.Where(refused => refused.Port != "Clients").Should().BeEmpty();
        bad.ForEach(peer => peer.Dispose());
    }
}
