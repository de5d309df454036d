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
            "X-Forwarded-For: 127.0.0.1|X-Forwarded-Proto: http|X-Forwarded-Host: shop.example:81|Via: 1.1 loadbalancer"),
        ("NoHost", false, "GET / HTTP/1.0\r\n", "X-Forwarded-For: 127.0.0.1|X-Forwarded-Proto: http|Via: 1.0 loadbalancer"),
        ("EmptyHost", false, "GET / HTTP/1.1\r\nHost:\r\n", "X-Forwarded-For: 127.0.0.1|X-Forwarded-Proto: http|Via: 1.1 loadbalancer"),
        ("NoHostTrusted", true, "GET / HTTP/1.0\r\nX-Forwarded-Host: shop.example\r\n",
            "X-Forwarded-For: 127.0.0.1|X-Forwarded-Proto: http|X-Forwarded-Host: shop.example|Via: 1.0 loadbalancer"),
        ("Untrusted", false,
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n"
            + "Forwarded: for=6.6.6.6\r\nVia: 1.0 other\r\n",
            "X-Forwarded-For: 127.0.0.1|X-Forwarded-Proto: http|X-Forwarded-Host: a|Via: 1.0 other, 1.1 loadbalancer"),
        ("Trusted", true,
            "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.example\r\n"
            + "Forwarded: for=6.6.6.6\r\nVia: 1.0 b\r\nVia: 2 c\r\n",
            "X-Forwarded-For: 6.6.6.6, 127.0.0.1|X-Forwarded-Proto: https|X-Forwarded-Host: shop.example|Forwarded: for=6.6.6.6|"
            + "Via: 1.0 b, 2 c, 1.1 loadbalancer"),
        ("TrustedLines", true, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n",
            "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 127.0.0.1|X-Forwarded-Proto: http|X-Forwarded-Host: a|Via: 1.1 loadbalancer"),
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

    private static IEnumerable<string> CaseNames() => Cases.Select(candidate => candidate.Name);
}
