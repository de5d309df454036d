using LoadBalancer.Zmtp;

namespace LoadBalancer.Tests.Zmtp;

internal sealed class ZmtpMessageTests
{
    [Test]
    public void Of_Frames_AreReadBack()
    {
        var message = ZmtpMessage.Of("", "uuid", new string('x', 256));

        (message.Count, message.Text(0), message.Text(1), message.Text(2).Length).Should().Be((3, "", "uuid", 256));
        FluentActions.Invoking(() => message[3]).Should().Throw<ArgumentOutOfRangeException>();
        FluentActions.Invoking(() => message[-1]).Should().Throw<ArgumentOutOfRangeException>();
        FluentActions.Invoking(() => ZmtpMessage.Of(Array.Empty<string>())).Should().Throw<ArgumentException>();
        default(ZmtpMessage).ToString().Should().BeEmpty();
    }

    [Test]
    public void Skip_FirstFrames_LeavesTheOthers()
    {
        ZmtpMessage.Of("a", "b", "c").Skip(2).ToString().Should().Be("c");
        FluentActions.Invoking(() => ZmtpMessage.Of("a").Skip(1)).Should().Throw<ArgumentOutOfRangeException>();
    }

    [Test]
    public void TryOpen_EnvelopeOfThoseWhoPassedItOn_IsPartedAtTheFirstEmptyFrame()
    {
        ZmtpMessage.Of("hop", "", "body", "", "x").TryOpen(out var envelope, out var body).Should().BeTrue();

        body.ToString().Should().Be("body||x");
        envelope.Wire.ToArray().Should().Equal(1, 3, (byte)'h', (byte)'o', (byte)'p', 1, 0);
        ZmtpEnvelope.Empty.Wire.ToArray().Should().Equal(1, 0);
    }

    [Test]
    public void TryOpen_NoEmptyFrameBeforeTheLast_IsNone()
    {
        ZmtpMessage.Of("").TryOpen(out _, out _).Should().BeFalse();
        ZmtpMessage.Of("a", "").TryOpen(out _, out _).Should().BeFalse();
        ZmtpMessage.Of("a", "b").TryOpen(out _, out _).Should().BeFalse();
        default(ZmtpMessage).TryOpen(out _, out _).Should().BeFalse();
    }

    [Test]
    public void Copy_Always_IsIndependent()
    {
        var reader = new MessageReader(new ZmtpLimits());
        reader.Feed(ZmtpBytes.Bytes(ZmtpBytes.MessageOf("first", "frame")));
        reader.Read(out var message, out _);
        var copy = message.Copy();
        reader.Feed(ZmtpBytes.Bytes(ZmtpBytes.MessageOf("other", "thing")));

        copy.ToString().Should().Be("first|frame");
    }
}
