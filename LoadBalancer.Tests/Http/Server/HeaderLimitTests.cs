using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Server;

/// <summary>
/// The limits of a request's field lines, to the byte, and the same in each version of HTTP. The fields are Host (9 bytes with the line
/// end) and what a case adds.
/// </summary>
[TestFixture("http", "1.1")]
[TestFixture("https", "1.1")]
[TestFixture("http", "2")]
internal sealed class HeaderLimitTests(string scheme, string version)
{
    private const string Ok = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

    private static readonly HeaderLimitOptions Small = new() { Count = 10, TotalBytes = 1000, LineBytes = 500 };

    [TestCase(9, 10, "200")] // lines of so many bytes
    [TestCase(10, 10, "431")]
    [TestCase(1, 500, "200")]
    [TestCase(1, 501, "431")]
    [TestCase(2, 496, "431")] // 1001 in all
    [TestCase(3, 330, "200")] // 999
    public async Task HeaderLimits_OfTheListener_AreKept(int lines, int bytes, string status) =>
        await ShouldBeAsync(Small, Fields(lines, bytes), status);

    [TestCase(99, 20, "200")]
    [TestCase(100, 20, "431")]
    [TestCase(1, 8192, "200")]
    [TestCase(1, 8193, "431")]
    [TestCase(4, 8189, "200")] // 32,765
    [TestCase(5, 6553, "431")] // 32,774
    public async Task HeaderLimits_Defaults_AreKept(int lines, int bytes, string status) =>
        await ShouldBeAsync(new HeaderLimitOptions(), Fields(lines, bytes), status);

    [TestCase(300, 900, "200")]
    public async Task HeaderLimits_Large_LetLargeHeadsPass(int lines, int bytes, string status) =>
        await ShouldBeAsync(
            new HeaderLimitOptions { Count = 400, TotalBytes = 400_000, LineBytes = 100_000 }, Fields(lines, bytes), status);

    [TestCase(60, "200")]
    [TestCase(71, "431")] // 7 bytes each, with the separator
    public async Task HeaderLimits_CrumbsOfACookie_AreOneLineOverHttp2(int crumbs, string status)
    {
        // Over HTTP/1.1 they are lines like others, of which there may be ten.
        await ShouldBeAsync(Small, [.. Enumerable.Repeat(("cookie", "a=xxx"), crumbs)], version == "2" ? status : "431");
    }

    [Test]
    public async Task HeaderLimits_ChangedByAReload_HoldForTheNextRequest()
    {
        await using var backend = RawServer.Answering(Ok);
        using var certificates = new TestCertificates();
        await using var node = await StartAsync(backend, new HeaderLimitOptions(), certificates);
        (await StatusAsync(node, Fields(1, 501))).Should().Be("200");

        node.Listener.Apply(new HttpListenerOptions { Address = TestNode.Parse($"{scheme}://127.0.0.1:0"), HeaderLimits = Small });

        (await StatusAsync(node, Fields(1, 501))).Should().Be("431");
    }

    private async Task ShouldBeAsync(HeaderLimitOptions limits, (string Name, string Value)[] fields, string status)
    {
        await using var backend = RawServer.Answering(Ok);
        using var certificates = new TestCertificates();
        await using var node = await StartAsync(backend, limits, certificates);

        (await StatusAsync(node, fields)).Should().Be(status);
    }

    private Task<TestNode> StartAsync(RawServer backend, HeaderLimitOptions limits, TestCertificates certificates) => TestNode.StartAsync(
        [backend.Address],
        listener: listener => listener with
        {
            Address = TestNode.Parse($"{scheme}://127.0.0.1:0"),
            Certificates = scheme == "https" ? [certificates.Issue("it", "it.test")] : [],
            HttpVersion = version == "2" ? HttpVersion.Version20 : HttpVersion.Version11,
            HeaderLimits = limits,
        });

    // With their line ends as in HTTP/1.1.
    private static (string Name, string Value)[] Fields(int lines, int bytes) =>
        [.. Enumerable.Range(0, lines).Select(i => $"x{i}").Select(name => (name, new string('v', bytes - name.Length - 4)))];

    private static string Request(string method, (string Name, string Value)[] fields) =>
        $"{method} / HTTP/1.1\r\nHost: a\r\n{string.Concat(fields.Select(field => $"{field.Name}: {field.Value}\r\n"))}\r\n";

    private async Task<string> StatusAsync(TestNode node, (string Name, string Value)[] fields)
    {
        if (version == "2")
        {
            using var peer = await Http2Peer.ConnectAsync(node.Port);
            await peer.SendHeadAsync(
                Http2Wire.EndStream, 1,
                [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), .. fields]);
            return await peer.ReadFateAsync(1);
        }
        using var raw = await RawPeer.ConnectAsync(node.Port);
        Stream stream = raw.Stream;
        if (scheme == "https")
        {
            var tls = new SslStream(stream, leaveInnerStreamOpen: false, (_, _, _, _) => true);
            await tls.AuthenticateAsClientAsync("it.test");
            stream = tls;
        }
        await using (stream)
        {
            await stream.WriteAsync(Encoding.Latin1.GetBytes(Request("GET", fields)));
            var answer = new byte[12];
            await stream.ReadExactlyAsync(answer);
            return int.Parse(Encoding.Latin1.GetString(answer)[9..], CultureInfo.InvariantCulture).ToString(CultureInfo.InvariantCulture);
        }
    }
}
