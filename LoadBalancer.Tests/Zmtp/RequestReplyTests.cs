using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
using LoadBalancer.Tests.Support;
using LoadBalancer.Zmtp;
using static LoadBalancer.Tests.Zmtp.ZmtpBytes;

namespace LoadBalancer.Tests.Zmtp;

internal sealed class RequestReplyTests
{
    private static readonly IPEndPoint Any = new(IPAddress.Loopback, 0);

    [Test]
    public async Task RequestAsync_Reply_IsTheAnswer()
    {
        await using var rep = new ReplySocket();
        await using var req = new RequestSocket();
        req.Connect(rep.Bind(Any));
        var answering = AnswerAsync(rep, 100);
        for (var i = 0; i < 100; i++)
        {
            (await req.RequestAsync(ZmtpMessage.Of("question", $"{i}"))).ToString().Should().Be($"question|{i}|answer");
        }
        await answering;
    }

    [Test]
    public async Task RequestAsync_ServerComesLater_Waits()
    {
        var address = new IPEndPoint(IPAddress.Loopback, ReservedPorts.Next());
        await using var req = new RequestSocket();
        req.Connect(address);
        var answer = req.RequestAsync(ZmtpMessage.Of("x"));
        await FluentActions.Awaiting(() => req.RequestAsync(ZmtpMessage.Of("y")))
            .Should().ThrowAsync<InvalidOperationException>("one at a time");
        await using var rep = new ReplySocket();
        rep.Bind(address);
        await AnswerAsync(rep, 1);

        (await answer).ToString().Should().Be("x|answer");
    }

    [Test]
    public async Task RequestAsync_ConnectionLost_SaysSoAndConnectsAgain()
    {
        var address = new IPEndPoint(IPAddress.Loopback, ReservedPorts.Next());
        await using var req = new RequestSocket();
        req.Connect(address);
        var first = new ReplySocket();
        first.Bind(address);
        var lost = req.RequestAsync(ZmtpMessage.Of("x"));
        await first.ReceiveAsync();
        await first.DisposeAsync();
        await FluentActions.Awaiting(() => lost).Should().ThrowAsync<SocketException>();

        await using var second = new ReplySocket();
        second.Bind(address);
        var answer = req.RequestAsync(ZmtpMessage.Of("y"));
        await AnswerAsync(second, 1);
        (await answer).ToString().Should().Be("y|answer");
    }

    [Test]
    public async Task RequestAsync_GivenUp_TheLateAnswerIsNobodys()
    {
        await using var rep = new ReplySocket();
        await using var req = new RequestSocket();
        req.Connect(rep.Bind(Any));
        using var patience = new CancellationTokenSource();
        var givenUp = req.RequestAsync(ZmtpMessage.Of("slow"), patience.Token);
        var slow = await rep.ReceiveAsync();
        await patience.CancelAsync();
        await FluentActions.Awaiting(() => givenUp).Should().ThrowAsync<OperationCanceledException>();
        slow.Reply(ZmtpMessage.Of("late"));

        var answer = req.RequestAsync(ZmtpMessage.Of("next"));
        await AnswerAsync(rep, 1);
        (await answer).ToString().Should().Be("next|answer");
    }

    [Test]
    public async Task RequestAsync_Disposed_Ends()
    {
        var req = new RequestSocket();
        req.Connect(new IPEndPoint(IPAddress.Loopback, ReservedPorts.Next()));
        var answer = req.RequestAsync(ZmtpMessage.Of("x"));
        await req.DisposeAsync();

        await FluentActions.Awaiting(() => answer).Should().ThrowAsync<ObjectDisposedException>();
    }

    [Test]
    public async Task RequestAsync_AnswerWithoutAnEnvelope_IsNone()
    {
        await using var req = new RequestSocket { Identity = "me"u8.ToArray() };
        using var rep = await RawPeer.ConnectAsync(req.Bind(Any).Port);
        await rep.SendAsync(LibzmqGreeting + Ready("REP") + MessageOf("", "nobody asked"));
        var answer = req.RequestAsync(ZmtpMessage.Of("x"));
        (await rep.ReadAsync(64 + Ready("REQ", "me").Length + 5)).Should().EndWith(Ready("REQ", "me") + MessageOf("", "x"));
        await rep.SendAsync(MessageOf("bare") + MessageOf("hop", "", "y") + MessageOf("", "z"));

        (await answer).ToString().Should().Be("z");
        req.Statistics.Dropped.Should().Be(3);
    }

    [Test]
    public async Task ReceiveAsync_EnvelopeOfSeveralHops_ComesBackWithTheAnswer()
    {
        await using var rep = new ReplySocket();
        using var dealer = await RawPeer.ConnectAsync(rep.Bind(Any).Port);
        await dealer.SendAsync(LibzmqGreeting + Ready("DEALER", "") + MessageOf("no envelope") + MessageOf("hop1", "hop2", "", "question"));
        await dealer.ReadAsync(64 + Ready("REP").Length);

        await AnswerAsync(rep, 1);

        (await dealer.ReadAsync(6 + 6 + 2 + 10 + 8)).Should().Be(MessageOf("hop1", "hop2", "", "question", "answer"));
        rep.Statistics.Dropped.Should().Be(1);
        await rep.DisposeAsync();
        await FluentActions.Awaiting(() => rep.ReceiveAsync().AsTask()).Should().ThrowAsync<ChannelClosedException>();
    }

    [Test]
    public async Task DisconnectAsync_Connected_EndsIt()
    {
        await using var rep = new ReplySocket();
        var address = rep.Bind(Any);
        await using var req = new RequestSocket();
        req.Connect(address);
        await Eventually.BeTrueAsync(() => rep.Statistics.Handshakes == 1, "it connects");

        await req.DisconnectAsync(address);

        req.ConnectionCount.Should().Be(0);
        await Eventually.BeTrueAsync(() => rep.ConnectionCount == 0, "it is gone");
    }

    private static async Task AnswerAsync(ReplySocket rep, int count)
    {
        for (var i = 0; i < count; i++)
        {
            var request = await rep.ReceiveAsync();
            request.Reply(ZmtpMessage.Of([.. Enumerable.Range(0, request.Message.Count).Select(request.Message.Text), "answer"]));
        }
    }
}
