using System.Text;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Upstream.Exchanges;
using LoadBalancer.Http.Upstream.Http1;

namespace LoadBalancer.Tests.Http.Upstream.Http1;

internal sealed class ResponseHeadTests
{
    private readonly HeaderLines _fields = new(new HeaderLine?[HeaderLines.KnownLines]);

    [Test]
    public void TryParse_OneByteAtATime_NeedsThemAllAndLeavesTheBody()
    {
        const string Head = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: y\r\n\r\n";
        var bytes = Encoding.Latin1.GetBytes(Head + "abc");

        for (var length = 0; length < Head.Length; length++)
        {
            ResponseHead.TryParse(bytes.AsSpan(0, length), _fields, out _).Should().Be(0);
        }
        ResponseHead.TryParse(bytes, _fields, out var head).Should().Be(Head.Length);

        head.Status.Should().Be(200);
        head.Reason.Should().Be("OK");
        head.Framing.Should().Be(BodyFraming.ContentLength);
        head.ContentLength.Should().Be(3);
        Fields().Should().Equal(("Content-Length", "3"), ("X", "y"));
    }

    [TestCase("HTTP/1.1 200 OK\r\n\r\n", "UntilClose", true)]
    [TestCase("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", "UntilClose", false)]
    [TestCase("HTTP/1.1 200 OK\r\nConnection: foo, Close\r\nContent-Length: 0\r\n\r\n", "ContentLength", false)]
    [TestCase("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n", "Chunked", true)]
    [TestCase("HTTP/1.0 200 OK\r\nContent-Length: 9\r\n\r\n", "ContentLength", false)]
    [TestCase("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 9\r\n\r\n", "ContentLength", true)]
    public void TryParse_Framing_IsRecognised(string head, string framing, bool keepAlive)
    {
        var parsed = Parse(head);

        parsed.Framing.ToString().Should().Be(framing);
        parsed.KeepAlive.Should().Be(keepAlive);
    }

    [TestCase("HTTP/1.1 404\r\n\r\n", 404, "")]
    [TestCase("HTTP/1.1 404 \r\n\r\n", 404, "")]
    [TestCase("HTTP/1.1 299 Quite fine\r\n\r\n", 299, "Quite fine")]
    [TestCase("HTTP/1.1 200 OK\nX: y\n\n", 200, "OK")]
    public void TryParse_UnusualStatusLine_IsUnderstood(string head, int status, string reason)
    {
        var parsed = Parse(head);

        parsed.Status.Should().Be(status);
        parsed.Reason.Should().Be(reason);
    }

    [Test]
    public void TryParse_AnyByteInAValue_Survives()
    {
        Parse("HTTP/1.1 200 OK\r\nX: caf\u00e9\u00ff\t!\r\nEmpty:\r\nY:  padded \t\r\n\r\n");

        Fields().Should().Equal(("X", "caf\u00e9\u00ff\t!"), ("Empty", ""), ("Y", "padded"));
    }

    [TestCase("ICY 200 OK\r\n\r\n")]
    [TestCase("HTTP/2.0 200 OK\r\n\r\n")]
    [TestCase("HTTP/1.1 20 OK\r\n\r\n")]
    [TestCase("HTTP/1.1 099 Low\r\n\r\n")]
    [TestCase("HTTP/1.1 2000\r\n\r\n")]
    [TestCase("HTTP/1.1  200 OK\r\n\r\n")]
    [TestCase("HTTP/1.1 200 OK\r\nno colon\r\n\r\n")]
    [TestCase("HTTP/1.1 200 OK\r\n: nameless\r\n\r\n")]
    [TestCase("HTTP/1.1 200 OK\r\nX : blank before the colon\r\n\r\n")]
    [TestCase("HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n")]
    [TestCase("HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n")]
    [TestCase("HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n")]
    [TestCase("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n")]
    [TestCase("HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n")]
    [TestCase("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")]
    [TestCase("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n")]
    [TestCase("HTTP/1.1 200 OK\r\nContent-Length: 0x10\r\n\r\n")]
    [TestCase("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n")]
    [TestCase("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n")]
    [TestCase("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n")]
    [TestCase("HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n")]
    [TestCase("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n")]
    [TestCase("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n")]
    [TestCase("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")]
    public void TryParse_Deviation_IsRefused(string head) =>
        FluentActions.Invoking(() => Parse(head)).Should().Throw<MalformedResponseException>();

    [Test]
    public void TryParse_EndlessHead_IsRefused() =>
        FluentActions.Invoking(() => Parse("HTTP/1.1 200 OK\r\n" + new string('a', ResponseHead.MaxSize)))
        .Should().Throw<MalformedResponseException>();

    [Test]
    public void TryParse_SameFieldAsBefore_IsTheSameObject()
    {
        Parse("HTTP/1.1 200 OK\r\nServer: one\r\nDate: today\r\n\r\n");
        var before = _fields[0];
        Parse("HTTP/1.1 200 OK\r\nServer: one\r\nDate: tomorrow\r\n\r\n");

        Fields().Should().Equal(("Server", "one"), ("Date", "tomorrow"));
        _fields[0].Should().BeSameAs(before);
    }

    [Test]
    public void MayRepeat_LineKnownFromAnEarlierResponse_IsSeenAgain()
    {
        const string Twice = "Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n";
        Repeats("HTTP/1.1 200 OK\r\nX: 1\r\n" + Twice).Should().BeTrue();
        Repeats("HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\n\r\n").Should().BeFalse();
        Repeats("HTTP/1.1 200 OK\r\nX: 2\r\n" + Twice).Should().BeTrue();

        bool Repeats(string head)
        {
            Parse(head);
            return _fields.MayRepeat;
        }
    }

    [Test]
    public void MayRepeat_NamesThatShareABit_IsFalse()
    {
        // 64 bits and 20 names: in 19 of 20 processes some of them share one.
        Parse("HTTP/1.1 200 OK\r\n" + string.Concat(Enumerable.Range(0, 20).Select(i => $"X-{i}: {i}\r\n")) + "\r\n");

        _fields.MayRepeat.Should().BeFalse();
    }

    [TestCase("etag", "ETag")]
    [TestCase("CONTENT-TYPE", "Content-Type")]
    [TestCase("x-Mine", "x-Mine")]
    public void Key_Name_IsTheOneThatKestrelKnows(string name, string key) => new HeaderLine(name, "").Key.Should().Be(key);

    [Test]
    public void TryParse_MoreFieldsThanAreRemembered_AreAllThere()
    {
        var head = "HTTP/1.1 200 OK\r\n" + string.Concat(Enumerable.Range(0, HeaderLines.KnownLines * 2).Select(i => $"X-{i}: {i}\r\n"))
            + "\r\n";

        for (var i = 0; i < 2; i++)
        {
            Parse(head);
            Fields().Should().Equal(Enumerable.Range(0, HeaderLines.KnownLines * 2).Select(i => ($"X-{i}", $"{i}")));
        }
    }

    private ResponseHead Parse(string head)
    {
        ResponseHead.TryParse(Encoding.Latin1.GetBytes(head), _fields, out var parsed).Should().Be(head.Length);
        return parsed;
    }

    private List<(string Name, string Value)> Fields() =>
        [.. Enumerable.Range(0, _fields.Count).Select(i => (_fields[i].Name, _fields[i].Value))];
}
