using System.Collections.Concurrent;
using System.Net;
using System.Text;
using System.Threading.Channels;
using LoadBalancer.Tests.Support;
using LoadBalancer.Zmtp;
using Microsoft.Extensions.Time.Testing;
using static LoadBalancer.Tests.Zmtp.ZmtpBytes;

namespace LoadBalancer.Tests.Zmtp;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class PublishSubscribeTests : IAsyncDisposable
{
    private static readonly IPEndPoint Any = new(IPAddress.Loopback, 0);

    private readonly FakeTimeProvider _clock = new();
    private readonly ConcurrentQueue<string> _changes = [];
    private readonly PublishSocket _xpub;
    private readonly int _port;

    public PublishSubscribeTests()
    {
        _xpub = new PublishSocket(ZmtpSocketType.XPub, new ZmtpLimits { QueueMessages = 50, SubscriptionsPerPeer = 3 }, _clock)
        {
            SubscriptionChanged = (prefix, isNew) => _changes.Enqueue($"{(isNew ? '+' : '-')}{Encoding.ASCII.GetString(prefix.Span)}"),
        };
        _port = _xpub.Bind(Any).Port;
    }

    public async ValueTask DisposeAsync() => await _xpub.DisposeAsync();

    [Test]
    public async Task Subscription_AsMessageAndAsCommand_IsTheSame()
    {
        using var old = await SubscribeAsync(0, MessageOf("\x01old"));
        await Eventually.BeTrueAsync(() => _changes.Count == 1, "it has subscribed");
        using var modern = await SubscribeAsync(1, CommandOf("SUBSCRIBE", "old") + CommandOf("SUBSCRIBE", "new") + MessageOf("\x01newer"));
        await Eventually.BeTrueAsync(() => _changes.Count == 3, "it has subscribed");

        _xpub.Publish(ZmtpMessage.Of("old news")).Should().Be(2);
        _xpub.Publish(ZmtpMessage.Of("new")).Should().Be(1);
        await modern.SendAsync(CommandOf("CANCEL", "new") + MessageOf("\0newer") + MessageOf("\0nothing") + MessageOf("\x05")
            + MessageOf("\x01" + "a", "b") + MessageOf(""));
        await Eventually.BeTrueAsync(() => _changes.Count == 5, "it has cancelled");
        _xpub.Publish(ZmtpMessage.Of("newer")).Should().Be(0);
        modern.Dispose();
        old.Dispose();
        await Eventually.BeTrueAsync(() => _changes.Count == 6, "they are gone");

        _changes.Should().Equal("+old", "+new", "+newer", "-new", "-newer", "-old");
        _xpub.Statistics.Dropped.Should().Be(3, "what is no subscription is of no interest");
    }

    [Test]
    public async Task Subscription_TooMany_CostsTheConnection()
    {
        using var peer = await SubscribeAsync(1, string.Concat(Enumerable.Range(0, 4).Select(i => CommandOf("SUBSCRIBE", $"{i}"))));

        await peer.ReadToEndAsync();
        await Eventually.BeTrueAsync(() => _changes.Count == 6, "what it had subscribed to is forgotten");
        _xpub.Statistics.Faults(ZmtpFault.Subscriptions).Should().Be(1);
    }

    [Test]
    public async Task Publish_ToOneThatDoesNotRead_IsDroppedForItAloneUntilItIsCut()
    {
        using var lazy = await SubscribeAsync(1, CommandOf("SUBSCRIBE", ""));
        await using var keen = new SubscribeSocket(limits: new ZmtpLimits { QueueMessages = 2000 });
        keen.Subscribe("");
        keen.Connect(new IPEndPoint(IPAddress.Loopback, _port));
        await Eventually.BeTrueAsync(() => _xpub.Publish(ZmtpMessage.Of("x")) == 2, "both have subscribed");
        var (message, sent) = (ZmtpMessage.Of(new string('x', 90_000)), 0);
        while (_xpub.Publish(message) == 2)
        {
            sent.Should().BeLessThan(1000);
            sent++;
            await ReceiveLongAsync(keen);
        }
        await ReceiveLongAsync(keen);
        _xpub.Statistics.Dropped.Should().Be(1);
        _xpub.ConnectionCount.Should().Be(2, "it may come to again");

        _clock.Advance(TimeSpan.FromSeconds(31));

        _xpub.Statistics.Faults(ZmtpFault.NotReading).Should().Be(1);
        await Eventually.BeTrueAsync(() => _xpub.ConnectionCount == 1, "it is gone");
        _xpub.Publish(message).Should().Be(1);
    }

    [Test]
    public async Task Subscribe_PublisherThatComesBack_IsToldAgain()
    {
        var port = ReservedPorts.Next();
        await using var sub = new SubscribeSocket();
        sub.Subscribe("a");
        sub.Connect(new IPEndPoint(IPAddress.Loopback, port));
        foreach (var (added, known) in new[] { ("b", "a"), ("c", "b") })
        {
            await using var pub = new PublishSocket();
            pub.Bind(new IPEndPoint(IPAddress.Loopback, port));
            await Eventually.BeTrueAsync(() => pub.Publish(ZmtpMessage.Of(known)) == 1, "it subscribes to what it knows");
            sub.Subscribe(added);
            await Eventually.BeTrueAsync(() => pub.Publish(ZmtpMessage.Of(added)) == 1, "it subscribes to that too");
            sub.Unsubscribe("a");
            await Eventually.BeTrueAsync(() => pub.Publish(ZmtpMessage.Of("a")) == 0, "it has cancelled");
        }
    }

    [Test]
    public async Task Subscribe_PublisherOf30_IsToldByMessages()
    {
        await using var sub = new SubscribeSocket(ZmtpSocketType.XSub);
        sub.Subscribe("a");
        using var peer = await RawPeer.ConnectAsync(sub.Bind(Any).Port);
        await peer.SendAsync(GreetingOf(0) + Ready("PUB"));

        (await peer.ReadAsync(64 + 28 + 4)).Should().EndWith(Ready("XSUB") + MessageOf("\x01" + "a"));
        sub.Unsubscribe("a");
        (await peer.ReadAsync(4)).Should().Be(MessageOf("\0a"));
    }

    [Test]
    public async Task ReceiveAsync_WhatNobodySubscribedTo_IsNotReceived()
    {
        await using var sub = new SubscribeSocket(limits: new ZmtpLimits { QueueMessages = 2 });
        sub.Subscribe("a");
        using var peer = await RawPeer.ConnectAsync(sub.Bind(Any).Port);
        await peer.SendAsync(LibzmqGreeting + Ready("PUB") + MessageOf("b") + MessageOf("a1") + MessageOf("c", "a") + MessageOf("a2")
            + MessageOf("a3"));

        await Eventually.BeTrueAsync(() => sub.Statistics.Dropped == 1, "two wait, and the third is too many");
        (await sub.ReceiveAsync()).Text(0).Should().Be("a1");
        (await sub.ReceiveAsync()).Text(0).Should().Be("a2");
    }

    [Test]
    public async Task ReceiveAsync_Disposed_Ends()
    {
        var sub = new SubscribeSocket();
        var receiving = sub.ReceiveAsync().AsTask();
        await sub.DisposeAsync();

        await FluentActions.Awaiting(() => receiving).Should().ThrowAsync<ChannelClosedException>();
    }

    private static async Task ReceiveLongAsync(SubscribeSocket sub)
    {
        while ((await sub.ReceiveAsync())[0].Length < 10)
        {
        }
    }

    private async Task<RawPeer> SubscribeAsync(int minor, string subscriptions)
    {
        var peer = await RawPeer.ConnectAsync(_port);
        await peer.SendAsync(GreetingOf(minor) + Ready("SUB") + subscriptions);
        return peer;
    }
}
