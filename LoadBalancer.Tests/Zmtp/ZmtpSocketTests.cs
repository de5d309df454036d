using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using LoadBalancer.Tests.Support;
using LoadBalancer.Zmtp;
using static LoadBalancer.Tests.Zmtp.ZmtpBytes;

namespace LoadBalancer.Tests.Zmtp;

/// <summary>What peers may do wrong, and that it is only theirs to pay for.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class ZmtpSocketTests : IAsyncDisposable
{
    private static readonly IPEndPoint Any = new(IPAddress.Loopback, 0);

    // While the clock leaps, a message of a moment ago may still be under way; how long that takes is not the matter here.
    private static readonly ZmtpLimits Small =
        new() { FrameBytes = 100_000, FramesPerMessage = 10, QueueMessages = 100, Connections = 3, StallTimeout = TimeSpan.FromHours(1) };

    private readonly FakeClock _clock = new();
    private readonly ConcurrentQueue<string> _events = [];
    private readonly PeerSocket _router;
    private readonly int _port;

    public ZmtpSocketTests()
    {
        _router = new PeerSocket(ZmtpSocketType.Router, Small, _clock)
        {
            Connected = peer => _events.Enqueue($"+{Name(peer)}"),
            Disconnected = peer => _events.Enqueue($"-{Name(peer)} {peer.Fault}"),
            Received = (peer, message) =>
            {
                _events.Enqueue($"{Name(peer)}: {message}");
                peer.Send(message);
            },
        };
        _port = _router.Bind(Any).Port;
    }

    public async ValueTask DisposeAsync() => await _router.DisposeAsync();

    [Test]
    public async Task Handshake_OneByteAtATime_IsFollowedByMessages()
    {
        using var peer = await RawPeer.ConnectAsync(_port);
        await peer.SendByteByByteAsync(LibzmqGreeting + Ready("REQ", "me") + MessageOf("", "hello"));

        (await peer.ReadAsync(64 + 43)).Should().Be(
            LibzmqGreeting.Replace("\x01\x7f", "\0\x7f", StringComparison.Ordinal) + Ready("ROUTER", ""));
        (await peer.ReadAsync(9)).Should().Be(MessageOf("", "hello"));
        _events.Should().Equal("+me", "me: |hello");
    }

    [Test]
    public async Task Handshake_NoIdentity_IsGivenOne()
    {
        using var first = await ConnectAsync("DEALER", "");
        using var second = await ConnectAsync("REQ");
        await Eventually.BeTrueAsync(() => _events.Count == 2, "both are connected");

        _events.Order().Should().Equal("+\0\0\0\0\x01", "+\0\0\0\0\x02");
    }

    [ByteCase("GET / HTTP/1.1\r\n\r\n", ZmtpFault.NotZmtp)]
    [ByteCase("\xff\0\0\0\0\0\0\0\x01\x7f\x01", ZmtpFault.Version)]
    [ByteCase("GREETING\x04\x01\x05", ZmtpFault.Command)]
    [ByteCase("GREETING\x04\x03\x02HI", ZmtpFault.Command)]
    [ByteCase("GREETING\0\x02HI", ZmtpFault.Command)]
    [ByteCase("GREETING\x02\x80\0\0\0\0\0\0\0", ZmtpFault.FrameBytes)]
    [ByteCase("GREETING\x09", ZmtpFault.Flags)]
    [ByteCase("HELLO\x02\x80\0\0\0\0\0\0\0", ZmtpFault.FrameBytes)]
    [ByteCase("HELLO\x80", ZmtpFault.Flags)]
    [ByteCase("HELLO\x04\0", ZmtpFault.Command)]
    [ByteCase("HELLO\x04\x05\x04PING", ZmtpFault.Command)]
    [ByteCase("HELLO\x04\x0a\tSUBSCRIBE", ZmtpFault.Command)]
    [ByteCase("HELLO\x04\x09\x05" + "ERROR\x02no", ZmtpFault.RefusedByPeer)]
    public async Task Connection_WhatMustNotBe_CostsThatPeerItsConnection(string text, ZmtpFault fault)
    {
        using var innocent = await ConnectAsync("REQ", "innocent");
        using var peer = await RawPeer.ConnectAsync(_port);
        var hello = LibzmqGreeting + Ready("REQ", "me");
        await peer.SendAsync(text.Replace("HELLO", hello, StringComparison.Ordinal)
            .Replace("GREETING", LibzmqGreeting, StringComparison.Ordinal));

        await peer.ReadToEndAsync();
        _router.Statistics.Faults(fault).Should().Be(1);
        await innocent.SendAsync(MessageOf("", "x"));
        (await innocent.ReadAsync(5)).Should().Be(MessageOf("", "x"));
        await Eventually.BeTrueAsync(() => _router.ConnectionCount == 1, "only the innocent is left");
    }

    [Test]
    public async Task Handshake_RefusedPeerThatHasResetTheConnection_IsCountedAllTheSame()
    {
        for (var i = 0; i < 20; i++)
        {
            var peer = await RawPeer.ConnectAsync(_port);
            await peer.SendAsync(LibzmqGreeting.Replace("NULL", "NULK", StringComparison.Ordinal));
            peer.Reset();
            await Eventually.BeTrueAsync(() =>
                Count(ZmtpFault.Mechanism) + Count(ZmtpFault.HandshakeBroken) == i + 1, "it is counted, as what came first");
        }

        long Count(ZmtpFault fault) => _router.Statistics.Faults(fault);
    }

    [TestCase("PUB")]
    [TestCase("ROUTEr")]
    [TestCase("")]
    public async Task Handshake_WrongSocketType_IsToldWhy(string type)
    {
        using var peer = await RawPeer.ConnectAsync(_port);
        await peer.SendAsync(LibzmqGreeting + Ready(type));

        (await peer.ReadToEndAsync()).Should().EndWith($"is a {type}, which has no business with a ROUTER");
        _router.Statistics.Faults(ZmtpFault.SocketType).Should().Be(1);
        _events.Should().BeEmpty();
    }

    [ByteCase("")]
    [ByteCase("\xff\0\0\0")]
    [ByteCase("GREETING")]
    [ByteCase("GREETING\x04\x29\x05READY")]
    public async Task Handshake_NotFinishedInTime_IsCut(string text)
    {
        using var peer = await RawPeer.ConnectAsync(_port);
        await peer.SendAsync(text.Replace("GREETING", LibzmqGreeting, StringComparison.Ordinal));
        await peer.ReadAsync(64);
        _clock.Advance(TimeSpan.FromSeconds(9.9));
        _router.ConnectionCount.Should().Be(1);

        _clock.Advance(TimeSpan.FromSeconds(0.1));

        await peer.ReadToEndAsync();
        _router.Statistics.Faults(ZmtpFault.HandshakeTimeout).Should().Be(1);
    }

    [Test]
    public async Task Handshake_Finished_IsNotCut()
    {
        using var peer = await ConnectAsync("REQ", "me");
        _clock.Advance(TimeSpan.FromSeconds(20));

        await peer.SendAsync(MessageOf("", "x"));
        (await peer.ReadAsync(5)).Should().Be(MessageOf("", "x"));
    }

    [Test]
    public async Task Connection_EndsInTheMiddle_IsCounted()
    {
        using (var early = await RawPeer.ConnectAsync(_port))
        {
            await early.SendAsync(LibzmqGreeting[..30]);
        }
        using (var late = await ConnectAsync("REQ", "late"))
        {
            await late.SendAsync("\x01\0\0\x05hell");
        }
        using (await ConnectAsync("REQ", "clean"))
        {
        }

        await Eventually.BeTrueAsync(() => _events.Count == 4 && _router.ConnectionCount == 0, "all three are gone");
        _router.Statistics.Faults(ZmtpFault.HandshakeBroken).Should().Be(1);
        _router.Statistics.Faults(ZmtpFault.Truncated).Should().Be(1);
        _events.Should().Contain("-late Truncated").And.Contain("-clean ");
    }

    [Test]
    public async Task Connection_MillionEmptyFramesOfOneMessage_IsCutAtTheEleventh()
    {
        using var peer = await ConnectAsync("DEALER", "me");
        try
        {
            await peer.SendAsync(string.Concat(Enumerable.Repeat("\x01\0", 1_000_000)));
        }
        catch (SocketException)
        {
            // It is cut long before the last.
        }

        await peer.ReadToEndAsync();
        _router.Statistics.Faults(ZmtpFault.FramesPerMessage).Should().Be(1);
    }

    [Test]
    public async Task Connection_AnotherThatNeverStopsSending_StillHasItsTurn()
    {
        using var stop = new CancellationTokenSource();
        await using var dealer =
            new PeerSocket(ZmtpSocketType.Dealer) { Received = (peer, message) => _ = message[0].Length > 1 || peer.Send(message) };
        var port = dealer.Bind(Any).Port;
        var hello = LibzmqGreeting + Ready("REP");
        var floods = Enumerable.Range(0, 2 * Environment.ProcessorCount).Select(async _ =>
        {
            using var peer = await RawPeer.ConnectAsync(port);
            await peer.SendAsync(hello);
            var flood = string.Concat(Enumerable.Repeat(MessageOf("flood"), 10_000));
            while (!stop.IsCancellationRequested)
            {
                await peer.SendAsync(flood);
                await Task.Yield();
            }
        }).ToArray();
        for (var i = 0; i < 4; i++)
        {
            using var innocent = await RawPeer.ConnectAsync(port);
            await innocent.SendAsync(hello + MessageOf("x"));
            (await innocent.ReadAsync(64 + 43 + 3)).Should().EndWith(MessageOf("x"));
        }
        await stop.CancelAsync();
        await Task.WhenAll(floods);
    }

    [Test]
    public async Task Connection_SameIdentityAgain_ReplacesTheOlder()
    {
        using var first = await ConnectAsync("REQ", "me");
        using var second = await ConnectAsync("REQ", "me");

        await first.ReadToEndAsync();
        await Eventually.BeTrueAsync(() => _events.Count == 3, "the second has come");
        _events.Should().Equal("+me", "-me Replaced", "+me");
        await second.SendAsync(MessageOf("", "x"));
        (await second.ReadAsync(5)).Should().Be(MessageOf("", "x"));
        _router.Find("me"u8)!.IsClosed.Should().BeFalse();
    }

    [Test]
    public async Task Connection_SameIdentityManyTimesAtOnce_OneIsLeft()
    {
        await using var router = new PeerSocket(ZmtpSocketType.Router)
        {
            Connected = _ => _events.Enqueue("+"),
            Disconnected = _ => _events.Enqueue("-"),
        };
        var port = router.Bind(Any).Port;
        var peers = await Task.WhenAll(Enumerable.Range(0, 50).Select(async _ =>
        {
            var peer = await RawPeer.ConnectAsync(port);
            await peer.SendAsync(LibzmqGreeting + Ready("REQ", "me"));
            return peer;
        }));

        await Eventually.BeTrueAsync(() =>
            router.Statistics.Handshakes == 50 && router.ConnectionCount == 1, "each replaces the one before");
        await Eventually.BeTrueAsync(() => _events.Count % 2 == 1, "the last has come");
        _events.Should().Equal(Enumerable.Range(0, _events.Count).Select(i => i % 2 == 0 ? "+" : "-"), "there is never more than one");
        Array.ForEach(peers, peer => peer.Dispose());
    }

    [Test]
    public async Task Connection_BeyondTheLimit_IsClosedAtOnce()
    {
        using var first = await ConnectAsync("REQ", "1");
        using var second = await ConnectAsync("REQ", "2");
        using var third = await ConnectAsync("REQ", "3");
        using var fourth = await RawPeer.ConnectAsync(_port);

        (await fourth.ReadToEndAsync()).Should().BeEmpty();
        _router.Statistics.Faults(ZmtpFault.TooManyConnections).Should().Be(1);
        third.Dispose();
        await Eventually.BeTrueAsync(() => _router.ConnectionCount == 2, "there is room again");
        using var fifth = await ConnectAsync("REQ", "5");
    }

    [Test]
    public async Task Send_ToOneThatDoesNotRead_CostsItsConnection()
    {
        using var peer = await ConnectAsync("REQ", "me");
        await Eventually.BeTrueAsync(() => _router.Find("me"u8) is not null, "it is connected");
        var found = _router.Find("me"u8)!;
        var message = ZmtpMessage.Of(new string('x', 90_000));
        FluentActions.Invoking(() => found.Send(default)).Should().Throw<ArgumentException>("it is no message");

        Enumerable.Range(0, 1000).TakeWhile(_ => found.Send(message)).Count()
            .Should().BeInRange(100, 500, "what the system takes, and a hundred");

        found.Fault.Should().Be(ZmtpFault.NotReading);
        await Eventually.BeTrueAsync(() => _events.Contains("-me NotReading"), "the owner is told");
    }

    [Test]
    public async Task Ping_ManyFromAPeerThatDoesNotRead_IsReadNoFurtherAndThenCut()
    {
        var pings = string.Concat(Enumerable.Repeat(CommandOf("PING", "\0\x0a" + "context"), 100_000));
        await using var router = new PeerSocket(ZmtpSocketType.Router, time: _clock);
        using var connection = new UnreadConnection(Bytes(LibzmqGreeting + Ready("REQ", "me") + pings));

        var peer = router.Attach(connection, null)!;

        router.Buffers.Total.Should().BeInRange(64 * 1024, 65 * 1024);
        connection.Received.Should().BeLessThan(pings.Length / 2);
        _clock.Advance(TimeSpan.FromSeconds(30));
        await peer.Ended.WaitAsync(TimeLimits.Event);
        peer.Fault.Should().Be(ZmtpFault.NotReading);
        router.Buffers.Total.Should().Be(0);
    }

    [Test]
    public async Task Ping_ManyFromAPeerThatReads_IsAnsweredEachTime()
    {
        const int Count = 20_000;
        using var peer = await ConnectAsync("REQ", "me");

        await peer.SendAsync(string.Concat(Enumerable.Repeat(CommandOf("PING", "\0\x0a" + "context"), Count)) + MessageOf("", "x"));

        (await peer.ReadAsync(14 * Count)).Should().Be(string.Concat(Enumerable.Repeat(CommandOf("PONG", "context"), Count)));
        (await peer.ReadAsync(5)).Should().Be(MessageOf("", "x"));
    }

    [Test]
    public async Task Connection_PartsOfLongMessagesAreTooMuchTogether_TheLongestIsCut()
    {
        await using var router = new PeerSocket(
            ZmtpSocketType.Router, new ZmtpLimits { FrameBytes = 1_000_000, BufferedBytes = 1024 * 1024 }, _clock);
        var shorter = new byte[200_000];
        var part = LibzmqGreeting + Ready("DEALER") + "\x02\0\0\0\0\0\x0f\0\0";
        using var longest = new UnreadConnection([.. Bytes(part), .. new byte[400_000]]);
        var cut = router.Attach(longest, null)!;
        var others = Enumerable.Range(0, 3).Select(_ => router.Attach(new UnreadConnection([.. Bytes(part), .. shorter]), null)!).ToList();

        await cut.Ended.WaitAsync(TimeLimits.Event);

        cut.Fault.Should().Be(ZmtpFault.BufferedBytes);
        others.Should().OnlyContain(peer => !peer.IsClosed);
        router.Buffers.Total.Should().BeInRange(3 * 200_000, 1024 * 1024);
    }

    [Test]
    public async Task Ping_WithAContext_IsAnsweredWithIt()
    {
        using var peer = await ConnectAsync("REQ", "me");
        await peer.SendAsync("\x01\0" + CommandOf("PING", "\0\x0a" + "context") + CommandOf("WHATEVER", "") + "\0\x01x");

        (await peer.ReadAsync(14)).Should().Be(CommandOf("PONG", "context"));
        (await peer.ReadAsync(5)).Should().Be(MessageOf("", "x"));
    }

    [Test]
    public async Task Ping_PeerOf31ThatIsSilent_IsAskedAndThenCut()
    {
        using var modern = await ConnectAsync("REQ", "modern");
        using var silent = await ConnectAsync("REQ", "silent");
        using var old = await RawPeer.ConnectAsync(_port);
        await old.SendAsync(GreetingOf(0) + Ready("REQ", "old"));
        await Eventually.BeTrueAsync(() => _events.Count == 3, "all are connected");
        _clock.Advance(TimeSpan.FromSeconds(32));
        (await modern.ReadAsync(9)).Should().Be(CommandOf("PING", "\0\0"));
        await modern.SendAsync(CommandOf("PONG", "") + MessageOf("", "x"));
        await modern.ReadAsync(5);

        _clock.Advance(TimeSpan.FromSeconds(30));

        (await silent.ReadToEndAsync()).Should().Be(CommandOf("PING", "\0\0"));
        await Eventually.BeTrueAsync(() => _events.Contains("-silent Silent"), "it is gone");
        _router.ConnectionCount.Should().Be(2);
        await old.SendAsync(MessageOf("", "x"));
        (await old.ReadAsync(64 + 43 + 5)).Should().EndWith(MessageOf("", "x"), "it does not know what a PING is, and got none");
    }

    [Test]
    public async Task Received_Throws_CostsThatPeerItsConnection()
    {
        var faults = new ConcurrentQueue<string>();
        await using var socket = new PeerSocket(ZmtpSocketType.Dealer)
        {
            Received = (_, _) => throw new InvalidOperationException("a bug"),
            Faulted = (_, fault, reason) => faults.Enqueue($"{fault}: {reason}"),
        };
        using var peer = await RawPeer.ConnectAsync(socket.Bind(Any).Port);
        await peer.SendAsync(LibzmqGreeting + Ready("REP") + MessageOf("x"));

        await peer.ReadToEndAsync();
        faults.Should().ContainSingle().Which.Should().StartWith("Internal: ").And.Contain("a bug");
    }

    [Test]
    public async Task DisposeAsync_WithPeers_EndsThemAll()
    {
        using var half = await RawPeer.ConnectAsync(_port);
        using var whole = await ConnectAsync("REQ", "me");
        await Eventually.BeTrueAsync(() => _events.Count == 1, "it is connected");

        await _router.DisposeAsync();

        _events.Should().Equal("+me", "-me ");
        await whole.ReadToEndAsync();
        await half.ReadToEndAsync();
        FluentActions.Invoking(() => _router.Bind(Any)).Should().Throw<ObjectDisposedException>();
        FluentActions.Invoking(() => _router.Connect(Any)).Should().Throw<ObjectDisposedException>();
        await FluentActions.Awaiting(() => RawPeer.ConnectAsync(_port)).Should().ThrowAsync<SocketException>();
    }

    [Test]
    public async Task Bind_PortThatIsTaken_SaysSo()
    {
        await using var other = new PublishSocket();

        FluentActions.Invoking(() => other.Bind(new IPEndPoint(IPAddress.Loopback, _port)))
            .Should().Throw<SocketException>().Which.SocketErrorCode.Should().Be(SocketError.AddressAlreadyInUse);
    }

    private static string Name(ZmtpPeer peer) => System.Text.Encoding.Latin1.GetString(peer.Identity.Span);

    private async Task<RawPeer> ConnectAsync(string type, string? identity = null)
    {
        var handshakes = _router.Statistics.Handshakes;
        var peer = await RawPeer.ConnectAsync(_port);
        await peer.SendAsync(LibzmqGreeting + Ready(type, identity));
        await peer.ReadAsync(64 + 43); // greeting and READY
        await Eventually.BeTrueAsync(() => _router.Statistics.Handshakes > handshakes, "its READY arrives too");
        return peer;
    }
}
