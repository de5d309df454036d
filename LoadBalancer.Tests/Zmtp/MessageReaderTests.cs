using System.Text;
using LoadBalancer.Tests.Support;
using LoadBalancer.Zmtp;
using static LoadBalancer.Tests.Zmtp.ZmtpBytes;

namespace LoadBalancer.Tests.Zmtp;

internal sealed class MessageReaderTests
{
    private static readonly ZmtpLimits Small = new() { FrameBytes = 1000, FramesPerMessage = 4, MessageBytes = 2500, CommandBytes = 300 };

    // Every kind of frame there is, a command between the frames of a message included.
    private static readonly string Stream =
        MessageOf("a") + MessageOf("") + MessageOf("", "uuid", "LIST") + MessageOf(new string('x', 255))
        + MessageOf(new string('y', 256), "")
        + CommandOf("PING", "\0\0ctx") + FrameOf("first", '\x01') + CommandOf("PONG", "") + FrameOf(new string('z', 700), '\0')
            + "\x02\0\0\0\0\0\0\0\x02hi";

    private static readonly string[] Expected =
        ["a", "", "|uuid|LIST", new string('x', 255), new string('y', 256) + "|", "command \x04PING\0\0ctx", "command \x04PONG", "first|"
            + new string('z', 700), "hi"];

    [Test]
    public void Read_AllAtOnce_FindsEverything() => Decode(Bytes(Stream), int.MaxValue).Should().Equal(Expected);

    [Test]
    public void Read_OneByteAtATime_FindsEverything() => Decode(Bytes(Stream), 1).Should().Equal(Expected);

    [Test]
    public void Read_EverySplit_FindsEverything()
    {
        var bytes = Bytes(Stream);
        for (var split = 1; split < bytes.Length; split++)
        {
            Decode(bytes, split).Should().Equal(Expected);
        }
    }

    [Test]
    public void Read_MessageOfLongFrames_IsWhole()
    {
        var limits = new ZmtpLimits();
        var frame = new string('f', limits.FrameBytes);

        Decode(Bytes(MessageOf(frame, frame, frame, frame)), 60_000, limits).Should().Equal(string.Join('|', frame, frame, frame, frame));
    }

    [ByteCase("\x02\x80\0\0\0\0\0\0\0", ZmtpFault.FrameBytes)] // 2^63
    [ByteCase("\x02\xff\xff\xff\xff\xff\xff\xff\xff", ZmtpFault.FrameBytes)]
    [ByteCase("\x02\0\0\0\0\x80\0\0\0", ZmtpFault.FrameBytes)]
    [ByteCase("\x02\0\0\0\0\0\0\x03\xe9", ZmtpFault.FrameBytes)] // one more than there may be
    [ByteCase("\x06\0\0\0\0\0\0\x01\x2d", ZmtpFault.FrameBytes)]
    [ByteCase("\x08", ZmtpFault.Flags)]
    [ByteCase("\xff", ZmtpFault.Flags)]
    [ByteCase("\x05", ZmtpFault.Flags)] // a command of which more follows
    [ByteCase("\x07", ZmtpFault.Flags)]
    [ByteCase("\x01\0\x01\0\x01\0\x01\0\x01\0", ZmtpFault.FramesPerMessage)]
    public void Read_WhatMustNotBe_IsRefusedAtItsHead(string text, ZmtpFault fault)
    {
        foreach (var step in (int[])[1, int.MaxValue])
        {
            FluentActions.Invoking(() => Decode(Bytes(text), step, Small)).Should().Throw<ZmtpException>().Which.Fault.Should().Be(fault);
        }
    }

    [Test]
    public void Read_MessageThatIsTooLongInAll_IsRefusedAtTheHeadThatShowsIt()
    {
        var text = FrameOf(new string('a', 1000), '\x01') + FrameOf(new string('b', 1000), '\x01') + "\x02\0\0\0\0\0\0\x01\xf5";

        FluentActions.Invoking(() => Decode(Bytes(text), 100, Small))
            .Should().Throw<ZmtpException>().Which.Fault.Should().Be(ZmtpFault.MessageBytes);
    }

    [Test]
    public void IsInTheMiddle_UntilTheLastByte_IsTrue()
    {
        var reader = new MessageReader(Small);
        reader.IsInTheMiddle.Should().BeFalse();
        foreach (var value in Bytes(MessageOf("a", "b")))
        {
            reader.Read(out _, out _).Should().Be(Incoming.Nothing);
            reader.Feed([value]);
            reader.IsInTheMiddle.Should().BeTrue();
        }
        reader.Read(out _, out _).Should().Be(Incoming.Message);
        reader.IsInTheMiddle.Should().BeFalse();
    }

    [Test]
    public void Read_AnnouncedButNotSent_TakesNoMemory()
    {
        var reader = new MessageReader(new ZmtpLimits { FrameBytes = int.MaxValue, MessageBytes = int.MaxValue / 2 });
        reader.Feed(Bytes("\x02\0\0\0\0\x20\0\0\0"));

        reader.Read(out _, out _).Should().Be(Incoming.Nothing);
        reader.Room().Length.Should().BeLessThan(100_000);
    }

    [Test]
    public void Read_RandomBytes_ThrowsNothingElse()
    {
        var random = new Random(37);
        for (var i = 0; i < 20_000; i++)
        {
            var bytes = new byte[random.Next(1, 200)];
            random.NextBytes(bytes);
            bytes[0] &= 7; // else nearly all would end with it
            Survive(bytes, random.Next(1, 50));
        }
    }

    [Test]
    public void Read_MutatedStreams_ThrowsNothingElse()
    {
        var random = new Random(23);
        var valid = Bytes(Stream);
        for (var i = 0; i < 5_000; i++)
        {
            var bytes = valid.ToArray();
            for (var changes = random.Next(1, 6); changes > 0; changes--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }
            Survive(bytes[random.Next(bytes.Length / 2)..random.Next(bytes.Length / 2, bytes.Length)], random.Next(1, 500));
        }
    }

    private static void Survive(byte[] bytes, int step)
    {
        var reader = new MessageReader(Small);
        try
        {
            for (var sent = 0; sent < bytes.Length; sent += step)
            {
                reader.Feed(bytes.AsSpan(sent, Math.Min(step, bytes.Length - sent)));
                while (reader.Read(out var message, out var command) is not Incoming.Nothing and var incoming)
                {
                    _ = incoming == Incoming.Message ? message.ToString() + message.TryOpen(out _, out _) : Parse(command.Span);
                }
            }
        }
        catch (ZmtpException)
        {
            // The only one it may be.
        }
        reader.Room().Length.Should().BeLessThan(20_000, "memory is bounded");
    }

    private static string Parse(ReadOnlySpan<byte> body)
    {
        var command = Command.Parse(body);
        return command.Is("READY"u8) ? command.ReadReady().TypeName : command.Is("ERROR"u8) ? command.ReadError() : "";
    }

    private static List<string> Decode(byte[] bytes, int step, ZmtpLimits? limits = null)
    {
        var reader = new MessageReader(limits ?? new ZmtpLimits());
        var found = new List<string>();
        for (var sent = 0; sent < bytes.Length; sent += Math.Min(step, bytes.Length - sent))
        {
            reader.Feed(bytes.AsSpan(sent, Math.Min(step, bytes.Length - sent)));
            while (reader.Read(out var message, out var command) is not Incoming.Nothing and var incoming)
            {
                found.Add(incoming == Incoming.Message ? message.ToString() : "command " + Encoding.Latin1.GetString(command.Span));
            }
        }
        reader.IsInTheMiddle.Should().BeFalse();
        return found;
    }
}
