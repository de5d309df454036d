using LoadBalancer.Tests.Support;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace LoadBalancer.Tests.Http.Transforms;

/// <summary>Header fields that a route changes, in both directions.</summary>
internal sealed class FieldChangeTests
{
    [Test]
    public async Task RequestHeaders_SetAddRemove_BackendGetsThem()
    {
        await using var node = await RouteNode.StartAsync("""
            { "Name": "tenants", "Pool": "api", "RequestHeaders": {
                "Set": { "X-Tenant": "{header:X-Org}", "X-Where": "{route}/{pool}/{backend}", "X-Forwarded-Proto": "gopher" },
                "Add": { "X-Tag": "b" }, "Remove": [ "Cookie", "Via" ] } }
            """);

        var answer = await node.GetAsync("/", "X-Org: acme\r\nx-tenant: evil\r\nX-Tag: a\r\nCookie: c=d\r\nX-Where: here\r\n");

        answer.Should().Contain("\r\nX-Tenant: acme\r\n").And.Contain("\r\nX-Where: tenants/api/b1\r\n").And.Contain("\r\nX-Tag: a\r\n")
            .And.Contain("\r\nX-Tag: b\r\n").And.Contain("\r\nX-Forwarded-Proto: gopher\r\n").And.NotContain("X-Forwarded-Proto: http\r\n")
            .And.NotContain("evil").And.NotContain("Cookie").And.NotContain("Via:");
    }

    [Test]
    public async Task RequestHeaders_ValueIsEmpty_ClientsFieldIsRemovedAndNoneIsSet()
    {
        await using var node = await RouteNode.StartAsync(
            """{ "Pool": "api", "RequestHeaders": { "Set": { "X-Tenant": "{header:X-Org}" } } }""");

        (await node.GetAsync("/", "X-Tenant: evil\r\n")).Should().NotContainEquivalentOf("X-Tenant");
    }

    [Test]
    public async Task ResponseHeaders_SetAddRemove_ClientGetsThem()
    {
        await using var node = await RouteNode.StartAsync("""
            { "Path": "/own", "Respond": {}, "ResponseHeaders": { "Set": { "X-B": "{backend}", "X-R": "{route}" } } },
            { "Pool": "api", "ResponseHeaders": { "Set": { "X-From": "{backend}" }, "Add": { "X-New": "1" }, "Remove": [ "Server" ] } }
            """);

        var answer = await node.GetAsync("/");
        answer.Split("\r\n\r\n")[0].Should().Contain("\r\nX-From: b1\r\n").And.Contain("\r\nX-New: 1").And.NotContain("Server:")
            .And.NotContain("X-From: api");
        (await node.GetAsync("/own")).Should().Contain("\r\nX-R: 1\r\n").And.NotContain("X-B");
    }

    [Test]
    public async Task ResponseHeaders_OurOwnError_HasThemToo()
    {
        await using var node = await RouteNode.StartAsync("""{ "Pool": "api", "ResponseHeaders": { "Set": { "X-New": "{path}" } } }""");
        node.Node.FindPool("api")!.Change(() =>
            node.Node.FindPool("api")!.Snapshot.Members[0].AdminState = LoadBalancer.Pools.AdminState.Disabled);

        (await node.GetAsync("/x")).Should().StartWith("HTTP/1.1 503").And.Contain("\r\nX-New: /x\r\n");
    }

    [TestCase("X_User: root\r\n")] // Servers that turn names into variables (CGI, WSGI, PHP) read _ as -.
    [TestCase("x_user: root\r\n")]
    [TestCase("Connection: X-User\r\nX-User: root\r\n")]
    [TestCase("Connection: X-User\r\n")]
    public async Task RequestHeaders_FieldThatIsSet_CannotBeForged(string fields)
    {
        await using var node = await RouteNode.StartAsync(
            """{ "Pool": "api", "RequestHeaders": { "Set": { "X-User": "ann" } } }""");

        var answer = await node.GetAsync("/", fields);

        answer.Should().Contain("\r\nX-User: ann\r\n").And.NotContain("root");
    }

    [Test]
    public async Task RequestHeaders_FieldThatIsDropped_DoesNotComeAsATrailer()
    {
        var received = new System.Text.StringBuilder();
        await using var backend = new RawServer(async (peer, _) =>
        {
            await peer.ReadHeadAsync();
            received.Append(await peer.ReadHeadAsync());
            await peer.SendAsync("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        });
        await using var node = await ConfiguredNode.StartAsync(
            $$"""{ "web": { "Backends": { "b1": { "Address": "{{backend.Address}}" } } } }""",
            """ "Routes": [ { "Pool": "web", "RequestHeaders": { "Set": { "X-User": "ann" } } } ], """);

        await RawPeer.ExchangeAsync(
            node.Port,
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            + "1\r\nx\r\n0\r\nX-Sum: 1\r\nX-User: root\r\nx_user: root\r\n\r\n");

        received.ToString().Should().Contain("X-Sum: 1").And.NotContain("root");
    }

    [TestCase("Backend", "127.0.0.1:")]
    [TestCase("v.test", "v.test\r\n")]
    [TestCase("Client", "a.test\r\n")]
    public async Task HostHeader_Chosen_BackendGetsIt(string setting, string host)
    {
        await using var node = await RouteNode.StartAsync($$"""{ "Pool": "api", "HostHeader": "{{setting}}" }""");

        (await node.GetAsync("/")).Should().Contain($"\r\nHost: {host}").And.Contain("\r\nX-Forwarded-Host: a.test\r\n");
    }

    [Test]
    public async Task Changes_BackendOverHttp2_AreTheSame()
    {
        await using var backend = await KestrelBackend.StartAsync(
            context => context.Response.WriteAsync(
                $"{context.Request.Host} {context.Request.Path} {context.Request.Headers["X-A"]} "
                + $"{context.Request.Headers["X-Forwarded-Proto"]} {context.Request.Headers["X-B"]}|"),
            HttpProtocols.Http2);
        await using var node = await ConfiguredNode.StartAsync(
            $$"""{ "web": { "HttpVersion": "2", "Backends": { "b1": { "Address": "{{backend.Address}}" } } } }""",
            """
            "Routes": [ { "Path": "/api", "StripPrefix": true, "Pool": "web", "HostHeader": "v.test", "RequestHeaders": {
                "Set": { "X-A": "{backend}", "X-Forwarded-Proto": "gopher" }, "Remove": [ "X-B" ] } } ],
            """);

        var answer = await RawPeer.ExchangeAsync(
            node.Port, "GET /api/x HTTP/1.1\r\nHost: a.test\r\nX-A: evil\r\nX-B: b\r\nConnection: close\r\n\r\n");

        answer.Should().Contain("v.test /x b1 gopher |");
    }

    [Test]
    public async Task Values_ControlCharacterOfAClient_IsNotPassedOn()
    {
        await using var node = await RouteNode.StartAsync("""
            { "Path": "/up", "Pool": "api", "RequestHeaders": { "Set": { "X-A": "{header:X-B}" }, "Remove": [ "X-B" ] } },
            { "Path": "/down", "Pool": "api", "RequestHeaders": { "Remove": [ "X-B" ] },
                "ResponseHeaders": { "Set": { "X-A": "{header:X-B}" } } }
            """);

        (await node.GetAsync("/up", "X-B: a\u0001b\r\n")).Should().StartWith("HTTP/1.1 400");
        (await node.GetAsync("/down", "X-B: a\u0001b\r\n")).Should().StartWith("HTTP/1.1 200").And.NotContain("X-A");
    }
}
