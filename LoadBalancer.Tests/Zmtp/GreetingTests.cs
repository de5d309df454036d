using LoadBalancer.Tests.Support;
using LoadBalancer.Zmtp;

using static LoadBalancer.Tests.Zmtp.ZmtpBytes;

namespace LoadBalancer.Tests.Zmtp;

internal sealed class GreetingTests
{
    [Test]
    public void Ours_Always_Announces31AndNull()
    {
        Greeting.Ours.Length.Should().Be(64);
        Greeting.TryRead(Greeting.Ours, out var greeting).Should().BeTrue();
        greeting.Minor.Should().Be(1);
    }

    [Test]
    public void TryRead_EachBeginning_WaitsForTheRest()
    {
        for (var length = 0; length < Greeting.Length; length++)
        {
            Greeting.TryRead(Bytes(LibzmqGreeting).AsSpan(0, length), out _).Should().BeFalse();
        }
    }

    [TestCase(0)]
    [TestCase(1)]
    [TestCase(9)]
    public void TryRead_AnyMinorVersion_IsKept(int minor)
    {
        Greeting.TryRead(Bytes(GreetingOf(minor)), out var greeting).Should().BeTrue();
        greeting.Minor.Should().Be((byte)minor);
    }

    [Test]
    public void TryRead_LaterMajorVersion_SpeaksOurs()
    {
        var bytes = Bytes(LibzmqGreeting);
        (bytes[10], bytes[11]) = (4, 0);

        Greeting.TryRead(bytes, out var greeting).Should().BeTrue();
        greeting.Minor.Should().BeGreaterThanOrEqualTo(1);
    }

    [ByteCase("GET / HTTP/1.1", ZmtpFault.NotZmtp)]
    [ByteCase("\x16", ZmtpFault.NotZmtp)]
    [ByteCase("\xff\0\0\0\0\0\0\0\x01\x7e", ZmtpFault.NotZmtp)]
    [ByteCase("\xff\0\0\0\0\0\0\0\x01\x7f\x01", ZmtpFault.Version)]
    [ByteCase("\xff\0\0\0\0\0\0\0\x01\x7f\x02", ZmtpFault.Version)]
    public void TryRead_WhatIsNone_IsRefusedAsSoonAsItShows(string text, ZmtpFault fault) =>
        FluentActions.Invoking(() => Greeting.TryRead(Bytes(text), out _)).Should().Throw<ZmtpException>().Which.Fault.Should().Be(fault);

    [TestCase("CURVE")]
    [TestCase("PLAIN")]
    [TestCase("NULLL")]
    [TestCase("null")]
    [TestCase("")]
    public void TryRead_OtherMechanism_IsRefused(string mechanism)
    {
        var bytes = Bytes("\xff\0\0\0\0\0\0\0\x01\x7f\x03\x01" + mechanism.PadRight(52, '\0'));

        FluentActions.Invoking(() => Greeting.TryRead(bytes, out _))
            .Should().Throw<ZmtpException>().Which.Fault.Should().Be(ZmtpFault.Mechanism);
    }
}
