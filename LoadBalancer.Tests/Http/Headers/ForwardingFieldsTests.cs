using System.Net;
using System.Text;
using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace LoadBalancer.Tests.Http.Headers;

/// <summary>
/// The fields in which a proxy names the client and itself (X-Forwarded-…, Forwarded, Via): the same towards backends that speak HTTP/1.1
/// and HTTP/2.
/// </summary>
internal sealed class ForwardingFieldsTests
{
    private static readonly string[] Names = ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "Via"];

    private static readonly (string Name, bool IsTrusted, string Request, string Expected)[] Cases =
    [
        ("Plain", false, "GET / HTTP/1.1\r\nHost: shop.example:81\r\n",
            "X-Forwarded-For: 127.0.0.1|X-Forwarded-Proto: http|X-Forwarded-Host: shop.example:81"),
        ("NoHost", false, "GET / HTTP/1.0\r\n", "X-Forwarded-For: 127.0.0.1|X-Forwarded-Proto: http"),
        ("EmptyHost", false, "GET / HTTP/1.1\r\nHost:\r\n", "X-Forwarded-For: 127.0.0.1|X-Forwarded-Proto: http"),
        ("NoHostTrusted", true, "GET / HTTP/1.0\r\nX-Forwarded-Host: shop.example\r\n",
            "X-Forwarded-For: 127.0.0.1|X-Forwarded-Proto: http|X-Forwarded-Host: shop.example"),
        ("Untrusted", false,
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n"
            + "Forwarded: for=6.6.6.6\r\nVia: 1.0 other\r\n",
            "X-Forwarded-For: 127.0.0.1|X-Forwarded-Proto: http|X-Forwarded-Host: a|Via: 1.0 other"),
        ("Trusted", true,
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n"
            + "Forwarded: for=6.6.6.6\r\nVia: 1.0 b\r\nVia: 2 c\r\n",
            "X-Forwarded-For: 6.6.6.6, 127.0.0.1|X-Forwarded-Proto: https|X-Forwarded-Host: shop.example|Forwarded: for=6.6.6.6|"
            + "Via: 1.0 b + 2 c"),
        ("TrustedLines", true, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n",
            "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 127.0.0.1|X-Forwarded-Proto: http|X-Forwarded-Host: a"),
    ];

    [Test]
    public async Task Request_Fields_AreTheSameInBothVersions(
        [ValueSource(nameof(CaseNames))] string name, [Values(HttpProtocols.Http1, HttpProtocols.Http2)] HttpProtocols version)
    {
        var (_, isTrusted, request, expected) = Cases.Single(candidate => candidate.Name == name);
        var seen = new StringBuilder();
        await using var backend = await KestrelBackend.StartAsync(
            context =>
            {
                var headers = context.Request.Headers;
                seen.AppendJoin(
                    '|', Names.Where(headers.ContainsKey).Select(field => $"{field}: {string.Join(" + ", headers[field].ToArray())}"));
                return context.Response.WriteAsync("ok");
            },
            version);
        await using var node = await TestNode.StartAsync(
            [backend.Address],
            pool => pool with { HttpVersion = version == HttpProtocols.Http2 ? HttpVersion.Version20 : HttpVersion.Version11 },
            listener => isTrusted ? listener with { TrustedProxies = [IPNetwork.Parse("127.0.0.1/32")] } : listener);

        var answer = await node.ExchangeAsync(request + "Connection: close\r\n\r\n");

        answer.Should().StartWith("HTTP/1.1 200");
        seen.ToString().Should().Be(expected);
    }

    [TestCase(HttpProtocols.Http1, "Via: 1.0 b\r\nVia: 2 c\r\n", "1.0 b, 2 c, 1.1 edge")]
    [TestCase(HttpProtocols.Http2, "Via: 1.0 b\r\nVia: 2 c\r\n", "1.0 b, 2 c, 1.1 edge")]
    [TestCase(HttpProtocols.Http1, "", "1.1 edge")]
    [TestCase(HttpProtocols.Http1, "Via: 1.0 b\r\nConnection: via\r\n", "1.0 b, 1.1 edge")] // No client hides a loop.
    public async Task Request_ListenerHasAName_IsAddedToVia(HttpProtocols version, string fields, string expected)
    {
        var seen = "";
        await using var backend = await KestrelBackend.StartAsync(
            context =>
            {
                seen = string.Join(" + ", context.Request.Headers.Via.ToArray());
                return context.Response.WriteAsync("ok");
            },
            version);
        await using var node = await TestNode.StartAsync(
            [backend.Address],
            pool => pool with { HttpVersion = version == HttpProtocols.Http2 ? HttpVersion.Version20 : HttpVersion.Version11 },
            listener => listener with { Via = "edge" });

        var answer = await node.ExchangeAsync($"GET / HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n");

        answer.Should().StartWith("HTTP/1.1 200").And.NotContain("Via:");
        seen.Should().Be(expected);
    }

    [Test]
    public async Task Reload_NameForVia_HoldsForTheNextRequest()
    {
        var seen = "";
        await using var backend = await KestrelBackend.StartAsync(
            context =>
            {
                seen = context.Request.Headers.Via.ToString();
                return context.Response.WriteAsync("ok");
            },
            HttpProtocols.Http1);
        string Configuration(string via) => $$"""
            { "LoadBalancer": {
                "Listeners": { "web": { "Address": "http://127.0.0.1:0", "Pool": "web", "Via": {{via}} } },
                "Pools": { "web": { "Backends": { "b1": { "Address": "{{backend.Address}}" } } } } } }
            """;
        await using var node = await ConfiguredNode.StartRawAsync(Configuration("null"));

        await node.Client.GetStringAsync("/");
        var before = seen;
        await node.ApplyAsync(Configuration("\"edge\""));
        await node.Client.GetStringAsync("/");

        (before, seen).Should().Be(("", "1.1 edge"));
    }

    [TestCase("X-Real-IP")]
    [TestCase("x-real-ip")]
    [TestCase("X-Forwarded-Port")]
    [TestCase("X-Forwarded-Prefix")]
    [TestCase("X-Forwarded-Server")]
    [TestCase("X-Forwarded-Ssl")]
    [TestCase("X-Forwarded-Scheme")]
    [TestCase("X_Forwarded_For")]
    [TestCase("x_forwarded-for")]
    [TestCase("X-Forwarded_Proto")]
    [TestCase("X_Forwarded_Host")]
    [TestCase("X_Forwarded_Prefix")]
    [TestCase("x_real_ip")]
    public async Task Request_FieldThatNamesTheClient_IsPassedOnFromTrustedPeersOnly(string name)
    {
        foreach (var version in new[] { HttpProtocols.Http1, HttpProtocols.Http2 })
        {
            (await ReachesTheBackendAsync(name, version, isTrusted: false)).Should().BeFalse();
            (await ReachesTheBackendAsync(name, version, isTrusted: true)).Should().BeTrue();
        }
    }

    [TestCase("X_Forwarded")]
    [TestCase("X-Forwarded-User")]
    [TestCase("X_Real_I")]
    [TestCase("Some_Field_Of_15_")]
    public async Task Request_FieldThatOnlyLooksLikeOne_IsPassedOn(string name) =>
        (await ReachesTheBackendAsync(name, HttpProtocols.Http1, isTrusted: false)).Should().BeTrue();

    [Test]
    public async Task Request_FieldsThatNameTheClientAsTrailers_AreDropped([Values("X-Forwarded-For", "x_real_ip")] string name)
    {
        var body = new TaskCompletionSource<string>();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            body.SetResult(await peer.ReadUntilAsync("\r\n\r\n") ?? "");
            await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        });
        await using var node = await TestNode.StartAsync([backend.Address]);

        await node.ExchangeAsync(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\nx\r\n0\r\n"
            + $"{name}: 6.6.6.6\r\nX-Mine: y\r\n\r\n");

        (await body.Task).Should().Contain("X-Mine: y").And.NotContain("6.6.6.6");
    }

    private static async Task<bool> ReachesTheBackendAsync(string name, HttpProtocols version, bool isTrusted)
    {
        var hasIt = false;
        await using var backend = await KestrelBackend.StartAsync(
            context =>
            {
                hasIt = context.Request.Headers[name].ToString().Contains("6.6.6.6", StringComparison.Ordinal);
                return context.Response.WriteAsync("ok");
            },
            version);
        await using var node = await TestNode.StartAsync(
            [backend.Address],
            pool => pool with { HttpVersion = version == HttpProtocols.Http2 ? HttpVersion.Version20 : HttpVersion.Version11 },
            listener => isTrusted ? listener with { TrustedProxies = [IPNetwork.Parse("127.0.0.1/32")] } : listener);
        (await node.ExchangeAsync($"GET / HTTP/1.1\r\nHost: a\r\n{name}: 6.6.6.6\r\nConnection: close\r\n\r\n"))
            .Should().StartWith("HTTP/1.1 200");
        return hasIt;
    }

    private static IEnumerable<string> CaseNames() => Cases.Select(candidate => candidate.Name);
}
