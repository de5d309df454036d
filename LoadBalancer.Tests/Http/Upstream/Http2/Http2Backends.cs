using System.Net;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Upstream.Http2;

/// <summary>What the tests of the HTTP/2 client have in common.</summary>
internal static class Http2Backends
{
    /// <summary>A request on a connection that is closed after it.</summary>
    public const string Get = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

    /// <summary>A request on a connection that stays open.</summary>
    public const string KeepAlive = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    /// <summary>The fields of a request from an HTTP/2 client.</summary>
    public static readonly (string Name, string Value)[] Call =
        [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/s/m"), ("content-type", "application/grpc")];

    /// <summary>A request with a body of so many bytes.</summary>
    public static string Post(int length) =>
        $"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{new string('p', length)}";

    /// <summary>The same, sent to the backend once it has asked for it with 100 (Continue).</summary>
    public static string PostWhenAsked(int length) =>
        Post(length).Replace("Connection:", "Expect: 100-continue\r\nConnection:", StringComparison.Ordinal);

    /// <summary>Starts a node before backends that speak HTTP/2 with prior knowledge.</summary>
    public static Task<TestNode> StartAsync(IEnumerable<string> backends, string clients = "1.1", TimeProvider? time = null) =>
        TestNode.StartAsync(
            backends, pool => pool with { HttpVersion = HttpVersion.Version20 },
            listener => listener with { HttpVersion = Version.Parse(clients) }, time);

    /// <summary>The same with one backend.</summary>
    public static Task<TestNode> StartAsync(Http2Server backend, string clients = "1.1", TimeProvider? time = null) =>
        StartAsync([backend.Address], clients, time);

    /// <summary>Waits until every lease is given back, with so many failures of the first backend.</summary>
    public static Task ShouldHaveFailedAsync(this TestNode node, int failures) => Eventually.BeTrueAsync(
        () => node.Pool.Snapshot.Members.All(member => member.InFlight == 0) && node.Pool.Snapshot.Members[0].Failures == failures,
        $"the leases are given back, with {failures} failures");
}
