namespace LoadBalancer.Tests.Support;

/// <summary>
/// A node with one way to authenticate, named some, and one route that needs it; the backend answers with the head that it got.
/// </summary>
internal sealed class GuardedNode : IAsyncDisposable
{
    private readonly RawServer _backend;

    private GuardedNode(ConfiguredNode node, RawServer backend) => (Node, _backend) = (node, backend);

    public ConfiguredNode Node { get; }

    /// <summary>Starts a node.</summary>
    /// <param name="authentication">The value of <c>Authentication:some</c>.</param>
    /// <param name="route">Further settings of the route, each with a comma before it.</param>
    /// <param name="limit">The value of <c>RateLimits:some</c>.</param>
    public static async Task<GuardedNode> StartAsync(string authentication, string route = "", string limit = """{ "Permits": 1 }""")
    {
        var backend = new RawServer(async (peer, _) =>
        {
            while (await peer.ReadHeadAsync() is { } head)
            {
                await peer.SendAsync($"HTTP/1.1 200 OK\r\nContent-Length: {head.Length}\r\n\r\n{head}");
            }
        });
        var node = await ConfiguredNode.StartRawAsync($$"""
            { "LoadBalancer": {
                "RateLimits": { "some": {{limit}} },
                "Authentication": { "some": {{authentication}} },
                "Listeners": { "web": { "Address": "http://127.0.0.1:0", "Pool": "web",
                    "Routes": [ { "Pool": "web", "Authentication": "some" {{route}} } ] } },
                "Pools": { "web": { "Backends": { "b": { "Address": "{{backend.Address}}" } } } } } }
            """);
        return new GuardedNode(node, backend);
    }

    /// <summary>Sends a request and returns the whole answer.</summary>
    public Task<string> GetAsync(string fields = "", string target = "/") =>
        RawPeer.ExchangeAsync(Node.Port, $"GET {target} HTTP/1.1\r\nHost: a.test\r\n{fields}Connection: close\r\n\r\n");

    public async ValueTask DisposeAsync()
    {
        await Node.DisposeAsync();
        await _backend.DisposeAsync();
    }
}
