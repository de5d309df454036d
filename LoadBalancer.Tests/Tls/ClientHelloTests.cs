using System.Buffers.Binary;
using System.Text;
using LoadBalancer.Tests.Support;
using LoadBalancer.Tls;

namespace LoadBalancer.Tests.Tls;

/// <summary>What is read from a ClientHello.</summary>
internal sealed class ClientHelloTests
{
    private const int Tls13 = 0x0304;
    private const int AesWithEcdsa = 0xC02B;
    private const int AesWithRsa = 0xC02F;

    [Test]
    public void TryRead_Name_IsAsItWasSent()
    {
        ClientHello.TryRead(Hello("xn--bcher-kva.example", [Tls13], [0x0403], [23], [0x1301]), out var hello).Should().BeTrue();

        hello.Should().Be(new ClientHello("xn--bcher-kva.example", VerifiableKeys.P256, true));
    }

    [TestCase(0x0403, "P256")]
    [TestCase(0x0503, "P384")]
    [TestCase(0x0603, "P521")]
    [TestCase(0x0804, "Rsa")]
    [TestCase(0x0401, "None")] // RSA with PKCS #1 is not for TLS 1.3.
    [TestCase(0x0807, "None")]
    public void TryRead_Tls13_SchemesSayWhichKeys(int scheme, string keys)
    {
        ClientHello.TryRead(Hello("a", [0x0a0a, Tls13, 0x0303], [scheme], [23, 24, 25], [0x1301, AesWithEcdsa]), out var hello);

        hello.Keys.ToString().Should().Be(keys);
    }

    [TestCase(new[] { 0x0403, 0x0401 }, new[] { 23 }, new[] { AesWithEcdsa, AesWithRsa }, "Rsa, P256")]
    [TestCase(new[] { 0x0503 }, new[] { 23, 24 }, new[] { AesWithEcdsa }, "Rsa, P256, P384")] // Any hash goes with any curve.
    [TestCase(new[] { 0x0403, 0x0401 }, new[] { 23 }, new[] { AesWithRsa }, "Rsa")]
    [TestCase(new[] { 0x0401 }, new[] { 23 }, new[] { AesWithEcdsa, AesWithRsa }, "Rsa")]
    [TestCase(new[] { 0x0403 }, new[] { 29 }, new[] { AesWithEcdsa }, "Rsa")]
    public void TryRead_Tls12_SuitesAndCurvesSayWhichKeys(int[] schemes, int[] groups, int[] suites, string keys)
    {
        ClientHello.TryRead(Hello("a", [], schemes, groups, suites), out var hello);

        hello.Keys.ToString().Should().Be(keys);
    }

    [Test]
    public void TryRead_EachLengthBeforeTheEnd_NeedsMore()
    {
        var whole = Hello("a.test", [Tls13], [0x0403], [23], [0x1301]);

        for (var length = 0; length < whole.Length; length++)
        {
            ClientHello.TryRead(whole.AsSpan(0, length), out _).Should().BeFalse();
        }
        ClientHello.TryRead(whole, out _).Should().BeTrue();
    }

    [TestCase(4)]
    [TestCase(50)]
    public void TryRead_SpreadOverRecords_IsJoined(int recordLength)
    {
        var message = Hello("a.test", [Tls13], [0x0403], [23], [0x1301])[5..];
        byte[] records = [.. message.Chunk(recordLength).SelectMany(part => new byte[] { 22, 3, 1, 0, (byte)part.Length }.Concat(part))];

        ClientHello.TryRead(records.AsSpan(0, records.Length - 1), out _).Should().BeFalse();
        ClientHello.TryRead(records, out var hello).Should().BeTrue();

        hello.ServerName.Should().Be("a.test");
    }

    [Test]
    public void TryRead_AnyByteChanged_NeverThrows()
    {
        var whole = Hello("a.test", [Tls13], [0x0403], [23], [0x1301]);

        for (var i = 0; i < whole.Length; i++)
        {
            for (var value = 0; value < 256; value += 5)
            {
                var changed = whole.ToArray();
                changed[i] = (byte)value;
                ClientHello.TryRead(changed, out _);
            }
        }
    }

    [ByteCase("GET / HTTP/1.1\r\n")]
    [ByteCase("\u0015\u0003\u0001\u0000\u0002\u0002\u0046")]
    [ByteCase("\u0016\u0003\u0001\u0000\u0003\u0001\u0000\u0000")]
    public void TryRead_NoHello_SaysNothing(string bytes)
    {
        ClientHello.TryRead(Encoding.Latin1.GetBytes(bytes), out var hello).Should().BeTrue();

        hello.Should().Be(default(ClientHello));
    }

    private static byte[] Hello(string name, int[] versions, int[] schemes, int[] groups, int[] suites)
    {
        byte[] host = [0, .. Vector16(Encoding.ASCII.GetBytes(name))];
        byte[] extensions =
        [
            .. Number(0), .. Vector16(Vector16(host)),
            .. Number(10), .. Vector16(Vector16(Numbers(groups))),
            .. Number(13), .. Vector16(Vector16(Numbers(schemes))),
            .. versions.Length == 0 ? [] : (byte[])[.. Number(43), .. Vector16([(byte)(2 * versions.Length), .. Numbers(versions)])],
        ];
        byte[] body = [3, 3, .. new byte[32], 0, .. Vector16(Numbers(suites)), 1, 0, .. Vector16(extensions)];
        return [22, 3, 1, .. Vector16([1, 0, .. Vector16(body)])];
    }

    private static byte[] Vector16(byte[] content) => [.. Number(content.Length), .. content];

    private static byte[] Numbers(int[] numbers) => [.. numbers.SelectMany(Number)];

    private static byte[] Number(int number)
    {
        var bytes = new byte[2];
        BinaryPrimitives.WriteUInt16BigEndian(bytes, (ushort)number);
        return bytes;
    }
}
