using System.Text;
using LoadBalancer.Tests.Support;
using LoadBalancer.Zmtp;
using static LoadBalancer.Tests.Zmtp.ZmtpBytes;

namespace LoadBalancer.Tests.Zmtp;

internal sealed class CommandTests
{
    [Test]
    public void Ready_Always_IsWhatLibzmqSends()
    {
        Text(Command.Ready(ZmtpSocketType.Sub, "ignored"u8)).Should().Be(Ready("SUB"));
        Text(Command.Ready(ZmtpSocketType.Req, "uuid-1"u8)).Should().Be(Ready("REQ", "uuid-1"));
        Text(Command.Ready(ZmtpSocketType.Dealer, [])).Should().Be(Ready("DEALER", ""));
        Text(Command.Ready(ZmtpSocketType.Router, new byte[255])).Should().Be(Ready("ROUTER", new string('\0', 255)));
    }

    [Test]
    public void Others_Always_AreWhatLibzmqSends()
    {
        Text(Command.Subscribe("HCHECK"u8)).Should().Be("\x04\x10\tSUBSCRIBEHCHECK");
        Text(Command.Cancel([])).Should().Be("\x04\x07\x06" + "CANCEL");
        Text(Command.Ping()).Should().Be("\x04\x07\x04PING\0\0");
        Text(Command.Pong("\0\u000cctx12"u8)).Should().Be("\x04\n\x04PONGctx12");
        Text(Command.Error("no")).Should().Be("\x04\x09\x05" + "ERROR\x02no");
        Command.Parse(Command.Error(new string('e', 1000)).AsSpan(9)).ReadError().Should().Be(new string('e', 255));
    }

    [Test]
    public void ReadReady_AnyOrderAndCase_FindsBoth()
    {
        var (type, name, identity) = Read(Property("X-Other", "1") + Property("IDENTITY", "me") + Property("socket-type", "DEALER"));

        (type, name, Text(identity)).Should().Be((ZmtpSocketType.Dealer, "DEALER", "me"));
    }

    [Test]
    public void ReadReady_TypeThatWeDoNotHave_IsNamed()
    {
        Read(Property("Socket-Type", "PUSH")).Should().Be(((ZmtpSocketType?)null, "PUSH", Array.Empty<byte>()));
        Read(Property("Socket-Type", "router")).Type.Should().BeNull("names of types are in capitals");
        Read(Property("Socket-Type", "\x1b[2J\r\nevil" + new string('x', 100))).TypeName.Should().Be("[2Jevilxxxxxx");
    }

    [ByteCase("", ZmtpFault.Command)]
    [ByteCase("\0", ZmtpFault.Command)]
    [ByteCase("\x05", ZmtpFault.Command)]
    [ByteCase("\x0bSocket-Type", ZmtpFault.Command)]
    [ByteCase("\x0bSocket-Type\0\0\0", ZmtpFault.Command)]
    [ByteCase("\x0bSocket-Type\0\0\0\x04SUB", ZmtpFault.Command)]
    [ByteCase("\x0bSocket-Type\xff\xff\xff\xffSUB", ZmtpFault.Command)]
    [ByteCase("\x0bSocket-Type\0\0\0\x03SUB\x08Identity\0\0\0\x01\0", ZmtpFault.Identity)]
    public void ReadReady_Malformed_IsRefused(string data, ZmtpFault fault) =>
        FluentActions.Invoking(() => Read(data)).Should().Throw<ZmtpException>().Which.Fault.Should().Be(fault);

    [Test]
    public void ReadReady_IdentityOf256Bytes_IsRefused() =>
        FluentActions.Invoking(() => Read(Property("Socket-Type", "REQ") + Property("Identity", new string('i', 256))))
            .Should().Throw<ZmtpException>().Which.Fault.Should().Be(ZmtpFault.Identity);

    [ByteCase("")]
    [ByteCase("\0")]
    [ByteCase("\x06READY")]
    public void Parse_WithoutAName_IsRefused(string body) =>
        FluentActions.Invoking(() => Command.Parse(Bytes(body)).Is("x"u8))
        .Should().Throw<ZmtpException>().Which.Fault.Should().Be(ZmtpFault.Command);

    [TestCase(1)]
    [TestCase(19)]
    public void Pong_PingOfWrongLength_IsRefused(int length) =>
        FluentActions.Invoking(() => Command.Pong(new byte[length]))
        .Should().Throw<ZmtpException>().Which.Fault.Should().Be(ZmtpFault.Command);

    [ByteCase("", "")]
    [ByteCase("\x05no", "no")]
    [ByteCase("\x02no\0\n", "no")]
    [ByteCase("\x04n\r\no", "no")]
    public void ReadError_Anything_IsPrintable(string data, string expected) =>
        Command.Parse(Bytes("\x05" + "ERROR" + data)).ReadError().Should().Be(expected);

    [Test]
    public void MayTalkTo_EachPair_IsTheTableOfRfc23()
    {
        var pairs = from ours in Enum.GetValues<ZmtpSocketType>()
                    from theirs in Enum.GetValues<ZmtpSocketType>()
                    where ours.MayTalkTo(theirs)
                    select $"{ours.Name()}-{theirs.Name()}";

        pairs.Should().BeEquivalentTo(
            "REQ-REP", "REQ-ROUTER", "REP-REQ", "REP-DEALER", "DEALER-REP", "DEALER-DEALER", "DEALER-ROUTER", "ROUTER-REQ",
                "ROUTER-DEALER", "ROUTER-ROUTER",
            "PUB-SUB", "PUB-XSUB", "XPUB-SUB", "XPUB-XSUB", "SUB-PUB", "SUB-XPUB", "XSUB-PUB", "XSUB-XPUB");
    }

    private static (ZmtpSocketType? Type, string TypeName, byte[] Identity) Read(string data) =>
        Command.Parse(Bytes("\x05READY" + data)).ReadReady();

    private static string Text(ReadOnlySpan<byte> bytes) => Encoding.Latin1.GetString(bytes);
}
