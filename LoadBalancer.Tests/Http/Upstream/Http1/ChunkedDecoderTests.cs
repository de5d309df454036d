using System.Text;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Upstream.Exchanges;
using LoadBalancer.Http.Upstream.Http1;

namespace LoadBalancer.Tests.Http.Upstream.Http1;

internal sealed class ChunkedDecoderTests
{
    [TestCase("5\r\nhello\r\n0\r\n\r\n", "hello")]
    [TestCase("5\r\nhello\r\n1;ext=\"v\"\r\n!\r\n0\r\n\r\n", "hello!")]
    [TestCase("00A ; ext\r\n0123456789\r\n000\r\n\r\n", "0123456789")]
    [TestCase("0\r\n\r\n", "")]
    public void Decode_Valid_GivesTheDataHoweverItIsCut(string coded, string data)
    {
        for (var step = 1; step <= coded.Length; step++)
        {
            Decode(coded, step).Should().Be((data, true, 0));
        }
    }

    [Test]
    public void Decode_BytesAfterTheEnd_AreLeftAlone() => Decode("0\r\n\r\nHTTP/1.1 200", 100).Should().Be(("", true, 12));

    [Test]
    public void Decode_Trailers_AreCollected()
    {
        var trailers = new HeaderLines([]);

        Decode("1\r\na\r\n0\r\nGrpc-Status: 0\r\nX: y\r\n\r\n", 1, trailers).Should().Be(("a", true, 0));

        trailers.Count.Should().Be(2);
        trailers[0].Should().BeEquivalentTo(new { Name = "Grpc-Status", Value = "0" });
        trailers[1].Should().BeEquivalentTo(new { Name = "X", Value = "y" });
    }

    [TestCase("5\r\nhel")]
    [TestCase("5\r\nhello")]
    [TestCase("5\r\nhello\r\n")]
    [TestCase("5\r\nhello\r\n0\r\n")]
    [TestCase("5\r\nhello\r\n0\r\nX: y\r\n")]
    public void Decode_CutShort_IsNotDone(string coded) => Decode(coded, 1).Done.Should().BeFalse();

    [TestCase("\r\n")]
    [TestCase("x\r\n")]
    [TestCase("-1\r\n")]
    [TestCase("+1\r\na\r\n")]
    [TestCase("0x1\r\na\r\n")]
    [TestCase(" 1\r\na\r\n")]
    [TestCase("1 1\r\na\r\n")]
    [TestCase("1\na\r\n")]
    [TestCase("1\r\nab\r\n")]
    [TestCase("1\r\na\n0\r\n\r\n")]
    [TestCase("FFFFFFFFFFFFFFFF\r\n")]
    [TestCase("0\r\nno colon\r\n\r\n")]
    [TestCase("0\r\nX: a\0b\r\n\r\n")]
    public void Decode_Broken_IsRefused(string coded)
    {
        FluentActions.Invoking(() => Decode(coded, 1)).Should().Throw<MalformedResponseException>();
        FluentActions.Invoking(() => Decode(coded, 100)).Should().Throw<MalformedResponseException>();
    }

    [Test]
    public void Decode_EndlessLine_IsRefused() =>
        FluentActions.Invoking(() => Decode("1;" + new string('x', 5000), 100)).Should().Throw<MalformedResponseException>();

    [Test]
    public void Decode_EndlessTrailers_AreRefused() =>
        FluentActions.Invoking(() =>
        Decode("0\r\n" + string.Concat(Enumerable.Repeat("X: " + new string('y', 1000) + "\r\n", 70)), 100_000))
        .Should().Throw<MalformedResponseException>();

    // Hands the decoder what has come so far, in steps, the way a connection does.
    private static (string Data, bool Done, int Left) Decode(string coded, int step, HeaderLines? trailers = null)
    {
        var bytes = Encoding.Latin1.GetBytes(coded);
        var decoder = new ChunkedDecoder();
        var data = new StringBuilder();
        var (start, end) = (0, 0);
        while (!decoder.IsDone)
        {
            var decoded = decoder.Decode(bytes.AsSpan(start, end - start), out var piece, trailers ?? new HeaderLines([]));
            data.Append(Encoding.Latin1.GetString(piece));
            start += decoded;
            if (decoded == 0 && end == bytes.Length)
            {
                break;
            }
            end = decoded == 0 ? Math.Min(bytes.Length, end + step) : end;
        }
        return (data.ToString(), decoder.IsDone, bytes.Length - start);
    }
}
