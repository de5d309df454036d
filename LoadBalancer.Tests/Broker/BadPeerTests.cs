using LoadBalancer.Tests.Support;
using LoadBalancer.Tests.Zmtp;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Broker;

/// <summary>
/// Faulty peers at each port of a whole broker. The peer's connection is closed, the fault is counted, other peers are not affected.
/// </summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class BadPeerTests : IAsyncDisposable
{
    private static readonly string[] Ports =
        ["Clients", "Workers", "HealthCheck", "AlternativePing", "WorkerCheckClients", "WorkerCheckWorkers"];

    private readonly FakeTimeProvider _clock = new();
    private BrokerNode _node = null!;

    [SetUp]
    public async Task StartAsync()
    {
        _node = await BrokerNode.StartAsync(time: _clock);
        await _node.AnsweringWorkerAsync("good");
    }

    public ValueTask DisposeAsync() => _node.DisposeAsync();

    [Test]
    public async Task WrongSignature_AtEveryPort_IsCutAndCounted([ValueSource(nameof(Ports))] string port)
    {
        await CutAsync(port, "GET / HTTP/1.1\r\nHost: store\r\n\r\n");

        await IsCountedAsync(port, "NotZmtp");
    }

    [Test]
    public async Task FrameOfTwoToThe63_AtEveryPort_IsCutAndCounted([ValueSource(nameof(Ports))] string port)
    {
        await CutAsync(port, ZmtpBytes.LibzmqGreeting + ZmtpBytes.Ready(PeerOf(port)) + "\x02\x80\0\0\0\0\0\0\0");

        await IsCountedAsync(port, "FrameBytes");
    }

    [Test]
    public async Task MillionEmptyFrames_AtEveryPort_IsCutAndCounted([ValueSource(nameof(Ports))] string port)
    {
        using var peer = await ConnectAsync(port);
        await peer.SendAsync(ZmtpBytes.LibzmqGreeting + ZmtpBytes.Ready(PeerOf(port)));
        var flood = string.Concat(Enumerable.Repeat("\x01\0", 10_000));
        try
        {
            for (var i = 0; i < 100; i++)
            {
                await peer.SendAsync(flood);
            }
        }
        catch (System.Net.Sockets.SocketException)
        {
            // It was cut in the middle of it.
        }
        await peer.ReadToEndAsync();

        await IsCountedAsync(port, "FramesPerMessage");
    }

    [Test]
    public async Task HalfAGreeting_AndNothingMore_IsCutAfterTenSeconds()
    {
        using var peer = await ConnectAsync("Clients");
        await peer.SendAsync(ZmtpBytes.LibzmqGreeting[..20]);
        await Eventually.BeTrueAsync(() => _node.ClientConnections == 1, "it is there");

        _clock.Advance(TimeSpan.FromSeconds(10.5));

        await peer.ReadToEndAsync();
        await IsCountedAsync("Clients", "HandshakeTimeout");
    }

    [Test]
    public async Task FiveHundredConnections_StopAfterTheGreeting_AreCutAfterTenSeconds()
    {
        var peers = new List<RawPeer>();
        for (var i = 0; i < 500; i++)
        {
            peers.Add(await ConnectAsync("Clients"));
            await peers[^1].SendAsync(ZmtpBytes.LibzmqGreeting);
        }
        await Eventually.BeTrueAsync(() => _node.ClientConnections == 500, "they are there");
        (await _node.AskAsync("PING")).Should().Be("good: PING", "other peers are not affected");

        _clock.Advance(TimeSpan.FromSeconds(10.5));

        foreach (var peer in peers)
        {
            await peer.ReadToEndAsync();
            peer.Dispose();
        }
        await IsCountedAsync("Clients", "HandshakeTimeout", 500);
        await Eventually.BeTrueAsync(() => _node.ClientConnections == 0, "none is left");
    }

    [Test]
    public async Task Client_NeverReads_IsCutAndNobodyElseNotices()
    {
        using var peer = await ConnectAsync("Clients");
        await peer.SendAsync(ZmtpBytes.LibzmqGreeting + ZmtpBytes.Ready("DEALER", "greedy"));
        var requests = string.Concat(Enumerable.Repeat(ZmtpBytes.MessageOf("", "greedy", new string('x', 8000)), 20));
        var answered = 0;
        try
        {
            while (!_node.Status.Refused.Any(refused => refused is { Port: "Clients", Reason: "NotReading" }))
            {
                await peer.SendAsync(requests).WaitAsync(TimeLimits.Event);
                (await _node.AskAsync("PING", $"client-{answered}")).Should().Be("good: PING");
                answered++;
            }
        }
        catch (System.Net.Sockets.SocketException)
        {
            // It was cut.
        }
        answered.Should().BePositive();

        await IsCountedAsync("Clients", "NotReading");
    }

    [Test]
    public async Task Client_HundredMessagesInARowThatAreNoRequests_IsCutAndCounted()
    {
        using var peer = await ConnectAsync("Clients");
        var bad = string.Concat(Enumerable.Repeat(ZmtpBytes.MessageOf("", "no request"), 99));
        var fails = string.Concat(Enumerable.Repeat(ZmtpBytes.MessageOf("", "FAIL"), 99));
        await peer.SendAsync(ZmtpBytes.LibzmqGreeting + ZmtpBytes.Ready("DEALER", "me"));
        await peer.ReadAsync(64 + ZmtpBytes.Ready("ROUTER", "").Length);
        await peer.SendAsync(bad);
        (await peer.ReadAsync(fails.Length)).Should().Be(fails);
        await peer.SendAsync(ZmtpBytes.MessageOf("", "me", "PING"));
        var answer = ZmtpBytes.MessageOf("", "good: PING");
        (await peer.ReadAsync(answer.Length)).Should().Be(answer);
        await peer.SendAsync(bad);
        (await peer.ReadAsync(fails.Length)).Should().Be(fails);

        await peer.SendAsync(ZmtpBytes.MessageOf("", "no request"));

        await peer.ReadToEndAsync();
        await IsCountedAsync("Clients", "Malformed");
    }

    [Test]
    public async Task Client_ManyRequestsAtOnceAndTheQueueIsFull_GetsAFailForEach()
    {
        const int Count = 5000;
        await using var node = await BrokerNode.StartAsync(options => options with { QueueLimit = 1 });
        using var peer = await RawPeer.ConnectAsync(node.Ports.Clients);
        await peer.SendAsync(ZmtpBytes.LibzmqGreeting + ZmtpBytes.Ready("DEALER", "me"));
        await peer.ReadAsync(64 + ZmtpBytes.Ready("ROUTER", "").Length);

        await peer.SendAsync(string.Concat(Enumerable.Repeat(ZmtpBytes.MessageOf("", "me", "PING"), Count + 1)));

        var fails = string.Concat(Enumerable.Repeat(ZmtpBytes.MessageOf("", "FAIL"), Count));
        (await peer.ReadAsync(fails.Length)).Should().Be(fails);
        node.Status.Refused.Should().BeEmpty("it reads what it is sent");
    }

    [Test]
    public async Task Subscriber_SubscribesToTooMuch_IsCut()
    {
        using var peer = await ConnectAsync("WorkerCheckClients");
        await peer.SendAsync(ZmtpBytes.LibzmqGreeting + ZmtpBytes.Ready("SUB"));
        await peer.SendAsync(string.Concat(Enumerable.Range(0, 10_001).Select(i => ZmtpBytes.MessageOf($"\x01{i}"))));
        await peer.ReadToEndAsync();

        await IsCountedAsync("WorkerCheckClients", "Subscriptions");
    }

    private static string PeerOf(string port) => port switch
    {
        "Clients" => "REQ",
        "Workers" => "REP",
        "HealthCheck" or "WorkerCheckClients" => "SUB",
        _ => "PUB",
    };

    private async Task<RawPeer> ConnectAsync(string port) =>
        await RawPeer.ConnectAsync((int)typeof(LoadBalancer.Configuration.Options.BrokerPorts).GetProperty(port)!.GetValue(_node.Ports)!);

    private async Task CutAsync(string port, string bytes)
    {
        using var peer = await ConnectAsync(port);
        await peer.SendAsync(bytes);
        await peer.ReadToEndAsync();
    }

    private async Task IsCountedAsync(string port, string reason, long count = 1)
    {
        await Eventually.BeTrueAsync(
            () => _node.Status.Refused.Contains((port, reason, count)), $"it is counted, not {string.Join(", ", _node.Status.Refused)}");
        (await _node.AskAsync("PING")).Should().Be("good: PING", "other peers are not affected");
    }
}
