using System.Net;
using System.Text;
using LoadBalancer.Net;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Net;

/// <summary>The codec of the PROXY protocol.</summary>
internal sealed class ProxyHeaderTests
{
    private const string Signature = "\r\n\r\n\0\r\nQUIT\n";

    [ByteCase("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", "192.0.2.1:56324", "198.51.100.2:443")]
    [ByteCase("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535", "255.255.255.255:65535")]
    [ByteCase("PROXY TCP6 2001:db8::1 ::1 1 0\r\n", "[2001:db8::1]:1", "[::1]:0")]
    [ByteCase("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
        "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535")]
    [ByteCase("PROXY UNKNOWN\r\n", null, null)]
    [ByteCase("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n", null, null)]
    [ByteCase(Signature + "\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34\x01\xbb", "1.2.3.4:4660", "5.6.7.8:443")]
    // And something more
    [ByteCase(Signature + "\x21\x11\0\x10\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34\x01\xbb\x04\0\x01x", "1.2.3.4:4660", "5.6.7.8:443")]
    [ByteCase(Signature + "\x20\0\0\0", null, null)] // LOCAL
    [ByteCase(Signature + "\x20\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34\x01\xbb", null, null)]
    [ByteCase(Signature + "\x21\0\0\0", null, null)] // of no kind
    [ByteCase(Signature + "\x21\x12\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34\x01\xbb", null, null)] // UDP
    public void Parse_Valid_SaysWhoItIs(string header, string? source, string? destination)
    {
        var parsed = Read(header + "not of it", out var length);

        parsed.Should().Be(new ProxyHeader(EndPoint(source), EndPoint(destination)));
        length.Should().Be(header.Length, "not a byte more is taken");
        var bytes = Encoding.Latin1.GetBytes(header + "not of it");
        for (var count = 0; count <= bytes.Length; count++)
        {
            ProxyHeader.Find(bytes.AsSpan(0, count)).Should().Be(count < header.Length ? 0 : header.Length, $"of {count} bytes");
        }
    }

    [ByteCase("GET / HTTP/1.1\r\n")]
    [ByteCase("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n")]
    [ByteCase("PROXY  TCP4 192.0.2.1 198.51.100.2 56324 443\r\n")]
    [ByteCase("PROXY TCP4 192.0.2.1  198.51.100.2 56324 443\r\n")]
    [ByteCase("PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 \r\n")]
    [ByteCase("PROXY TCP4 192.0.2.1 198.51.100.2 56324 65536\r\n")]
    [ByteCase("PROXY TCP4 192.0.2.1 198.51.100.2 056324 443\r\n")]
    [ByteCase("PROXY TCP4 192.0.2.1 198.51.100.2 -1 443\r\n")]
    [ByteCase("PROXY TCP4 192.0.2 198.51.100.2 56324 443\r\n")]
    [ByteCase("PROXY TCP4 010.0.0.1 198.51.100.2 56324 443\r\n")]
    [ByteCase("PROXY TCP4 ::1 ::1 56324 443\r\n")]
    [ByteCase("PROXY TCP6 192.0.2.1 198.51.100.2 56324 443\r\n")]
    [ByteCase("PROXY TCP6 [::1] ::1 56324 443\r\n")]
    [ByteCase("PROXY TCP5 192.0.2.1 198.51.100.2 56324 443\r\n")]
    [ByteCase("PROXY TCP4 a b c d\r\n")]
    [ByteCase("PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535 and more\r\n")]
    [ByteCase("proxy UNKNOWN\r\n")]
    [ByteCase(Signature + "\x11\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34\x01\xbb")] // version 1 in version 2's clothes
    [ByteCase(Signature + "\x22\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34\x01\xbb")]
    [ByteCase(Signature + "\x21\x41\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34\x01\xbb")]
    [ByteCase(Signature + "\x21\x13\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34\x01\xbb")]
    [ByteCase(Signature + "\x21\x11\0\x0b\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34\x01")] // too short
    [ByteCase(Signature + "\x21\x21\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34\x01\xbb")]
    [ByteCase(Signature + "\x21\x11\xff\xff\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34\x01\xbb")] // too long
    [ByteCase("\r\n\r\n\0\r\nQUIET\n\x21\x11\0\0\0\0\0\0\0\0\0")]
    public void Parse_Malformed_IsRefused(string header)
    {
        Read(header + new string('x', 200), out _).Should().BeNull();
        var bytes = Encoding.Latin1.GetBytes(header + new string('x', 200));
        var length = ProxyHeader.Find(bytes);
        (length > 0 && ProxyHeader.TryParse(bytes.AsSpan(0, length), out _)).Should().BeFalse();
        length.Should().NotBe(0, "no more bytes make it right");
    }

    [Test]
    public void Needed_OfEveryBeginning_IsNeverMoreThanThereIs()
    {
        foreach (var header in new[] { "PROXY UNKNOWN\r\n", "PROXY TCP4 1.1.1.1 2.2.2.2 1 1\r\n",
            "PROXY TCP6 2001:db8::1 2001:db8::2 50000 443\r\n", Signature
            + "\x21\x11\0\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x12\x34\x01\xbb" })
        {
            var bytes = Encoding.Latin1.GetBytes(header);
            for (var length = 0; length < bytes.Length; length++)
            {
                ProxyHeader.Needed(bytes.AsSpan(0, length)).Should().BeInRange(1, bytes.Length - length, $"{length} bytes of '{header}'");
            }
            ProxyHeader.Needed(bytes).Should().Be(0);
        }
    }

    [Test]
    public void Parse_Garbage_NeverThrows()
    {
        var random = new Random(1);
        var begins = new[] { "", "PROXY ", "PROXY TCP4 1.1.1.1 ", Signature, Signature + "\x21\x11\0" };
        for (var i = 0; i < 20_000; i++)
        {
            var tail = new byte[200];
            random.NextBytes(tail);
            _ = Read(begins[i % begins.Length] + Encoding.Latin1.GetString(tail), out _);
        }
    }

    [TestCase("192.0.2.1:56324", "198.51.100.2:443")]
    [TestCase("[2001:db8::1]:1", "[::1]:0")]
    [TestCase(null, null)]
    public void Write_Always_CanBeRead(string? source, string? destination)
    {
        var header = ProxyHeader.Write(EndPoint(source), EndPoint(destination));

        Read(Encoding.Latin1.GetString(header), out var length).Should().Be(new ProxyHeader(EndPoint(source), EndPoint(destination)));
        length.Should().Be(header.Length);
    }

    [Test]
    public void Write_BothFamilies_IsOneOfThem()
    {
        Read(Encoding.Latin1.GetString(ProxyHeader.Write(EndPoint("[::ffff:192.0.2.1]:1"), EndPoint("[::ffff:192.0.2.2]:2"))), out _)
            .Should().Be(new ProxyHeader(EndPoint("192.0.2.1:1"), EndPoint("192.0.2.2:2")));
        Read(Encoding.Latin1.GetString(ProxyHeader.Write(EndPoint("192.0.2.1:1"), EndPoint("[::1]:2"))), out _)
            .Should().Be(new ProxyHeader(EndPoint("[::ffff:192.0.2.1]:1"), EndPoint("[::1]:2")));
    }

    private static IPEndPoint? EndPoint(string? text) => text is null ? null : IPEndPoint.Parse(text);

    /// <summary>Reads as the listener does: never more than is needed.</summary>
    private static ProxyHeader? Read(string stream, out int length)
    {
        var bytes = Encoding.Latin1.GetBytes(stream);
        length = 0;
        int needed;
        while ((needed = ProxyHeader.Needed(bytes.AsSpan(0, length))) > 0)
        {
            if (length + needed > bytes.Length)
            {
                return null;
            }
            length += needed;
        }
        return needed == 0 && ProxyHeader.TryParse(bytes.AsSpan(0, length), out var parsed) ? parsed : null;
    }
}
