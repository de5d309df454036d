using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Tests.Support;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Tests.Broker;

/// <summary>Two nodes with the same ports at 127.0.0.1 and 127.0.0.2, and what becomes of them when one goes or comes back.</summary>
internal sealed class TakeOverTests
{
    private static readonly IPAddress First = IPAddress.Parse("127.0.0.1");
    private static readonly IPAddress Second = IPAddress.Parse("127.0.0.2");
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan PeerTimeout = TimeSpan.FromSeconds(1);

    private readonly BrokerPorts _ports = StorePorts.At(StorePorts.NextOffset());

    [Test]
    public async Task Main_AlternativeComesAndGoes_IsToldInHcheck()
    {
        await using var main = await StartMainAsync();
        await using var listening = new SubscribeSocket();
        listening.Subscribe("HCHECK");
        listening.Connect(new IPEndPoint(First, _ports.HealthCheck));
        (await listening.ReceiveAsync()).ToString().Should().Be("HCHECK NOALT");

        await using (await StartAlternativeAsync())
        {
            await UntilAsync("HCHECK 127.0.0.2");
            main.Status.Peer.Should().Be("127.0.0.2");
            main.Status.AlternativePingAge.Should().BeLessThan(PeerTimeout);
        }

        await UntilAsync("HCHECK NOALT");

        async Task UntilAsync(string expected)
        {
            while ((await listening.ReceiveAsync()).ToString() != expected)
            {
            }
        }
    }

    [Test]
    public async Task MainStops_Alternative_ServesAndTheMainThatComesBackWatches()
    {
        await using var alternative = await StartAlternativeAsync();
        await using (await StartMainAsync())
        {
            await Eventually.BeTrueAsync(() => alternative.Status.HealthCheckAge is not null, "the main is heard");
            alternative.IsMain.Should().BeFalse();
            alternative.Listener.Ports.Should().BeNull("it binds nothing");
            alternative.Status.Peer.Should().Be("127.0.0.1");
        }

        await Eventually.BeTrueAsync(() => alternative.IsMain, "it takes over");
        alternative.Status.TakeOvers.Should().Be(1);
        await alternative.AnsweringWorkerAsync("worker");
        (await alternative.AskAsync("PING")).Should().Be("worker: PING");

        await using var main = await StartMainAsync();
        main.IsMain.Should().BeFalse("failback is never by accident");
        alternative.IsMain.Should().BeTrue();
        await Eventually.BeTrueAsync(
            () => alternative.Status.Peer == "127.0.0.1" && alternative.Status.AlternativePingAge is not null, "it is the alternative now");

        await alternative.StopAsync();
        await Eventually.BeTrueAsync(() => main.IsMain, "it takes over in its turn");
    }

    [Test]
    public async Task Alternative_HasNeverHeardItsMain_DoesNotServe()
    {
        await using var alternative = await StartAlternativeAsync();

        await Task.Delay(PeerTimeout * 3, TimeProvider.System);

        alternative.IsMain.Should().BeFalse();
        alternative.Listener.Address.Should().Be("no port yet, as the alternative of 127.0.0.1");
    }

    [Test]
    public async Task Main_SomebodyHoldsTheOthersPortAndSaysNothing_ServesInTheEnd()
    {
        using var silent = new System.Net.Sockets.TcpListener(Second, _ports.HealthCheck);
        silent.Start();

        await using var main = await StartMainAsync();

        main.IsMain.Should().BeTrue();
    }

    [Test]
    public async Task BothServe_TheyHearEachOther_SayAndCountIt()
    {
        await using var main = await StartMainAsync();
        // A second main that is not configured to know the first.
        await using var other = await StartAsync(options => options with { Address = TestNode.Parse("tcp://127.0.0.2") });

        await Eventually.BeTrueAsync(
            () => main.Log.Lines.Any(line => line.Contains("127.0.0.2 serves as the main too", StringComparison.Ordinal)), "it says so");

        main.IsMain.Should().BeTrue();
        main.Status.IsConflict.Should().BeTrue();
    }

    [Test]
    public async Task Start_APortIsTaken_SaysWhichAndLeavesNothingBehind()
    {
        using var taken = new System.Net.Sockets.TcpListener(First, _ports.WorkerCheckClients);
        taken.Start();

        var start = () => StartMainAsync();

        (await start.Should().ThrowAsync<StartException>())
            .WithMessage(
                $"listener 'store': cannot listen on tcp://127.0.0.1:{_ports.WorkerCheckClients} (WorkerCheckClients): "
                + "the port is taken by another program");
    }

    [Test]
    public async Task TakeOver_APortIsTaken_WatchesOnAndServesWhenItIsFree()
    {
        await using var alternative = await StartAlternativeAsync();
        using var taken = new System.Net.Sockets.TcpListener(Second, _ports.Workers);
        taken.Start();
        await using (await StartMainAsync())
        {
            await Eventually.BeTrueAsync(() => alternative.Status.HealthCheckAge is not null, "the main is heard");
        }
        await Eventually.BeTrueAsync(
            () => alternative.Log.Lines.Any(
            line => line.Contains("(Workers): the port is taken by another program; it cannot be the main", StringComparison.Ordinal)),
            "it cannot");

        taken.Stop();

        await Eventually.BeTrueAsync(() => alternative.IsMain, "it can now");
        alternative.Status.TakeOvers.Should().Be(1, "only those count that succeeded");
    }

    [TestCase("ALTPING nonsense")]
    [TestCase("ALTPING 1")]
    [TestCase("ALTPING 0.0.0.0")]
    [TestCase("ALTPING 127.0.0.1.1")]
    [TestCase("ALTPING ")]
    [TestCase("ALTPING")]
    [TestCase("ALTPINGS 127.0.0.2")]
    [TestCase("ALTPING|127.0.0.2|x")]
    public async Task Ping_NamesNobody_IsDroppedAndCounted(string ping)
    {
        await using var main = await StartMainAsync();
        await using var pinging = new PublishSocket();
        pinging.Connect(new IPEndPoint(First, _ports.AlternativePing));

        await Eventually.BeTrueAsync(
            () => pinging.Publish(ZmtpMessage.Of(ping.Split('|'))) >= 0
                && main.Status.Refused.Any(refused => refused is { Port: "AlternativePing", Reason: "NotAnAddress", Count: > 0 }),
                "it is counted");

        main.Status.AlternativePingAge.Should().BeNull();
    }

    [TestCase("ALTPING 127.0.0.2", "127.0.0.2")]
    [TestCase("ALTPING|127.0.0.2", "127.0.0.2")]
    [TestCase("ALTPING ::1", "::1")]
    public async Task Ping_NamesSomebody_IsTheAlternative(string ping, string expected)
    {
        await using var main = await StartMainAsync();
        await using var pinging = new PublishSocket();
        pinging.Connect(new IPEndPoint(First, _ports.AlternativePing));

        await Eventually.BeTrueAsync(
            () => pinging.Publish(ZmtpMessage.Of(ping.Split('|'))) >= 0 && main.Status is { AlternativePingAge: not null }, "it is known");

        main.Status.Peer.Should().Be(expected);
    }

    private Task<BrokerNode> StartMainAsync() => StartAsync(options => options with { AlternativeAddress = Second });

    private Task<BrokerNode> StartAlternativeAsync() =>
        StartAsync(options =>
            options with { Address = TestNode.Parse("tcp://127.0.0.2"), Role = BrokerRole.Alternative, MainAddress = First });

    private Task<BrokerNode> StartAsync(Func<BrokerListenerOptions, BrokerListenerOptions> options) =>
        BrokerNode.StartAsync(listener => options(listener with { Ports = _ports, PublishInterval = Interval, PeerTimeout = PeerTimeout }));
}
