using System.Text;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// A node with routes to the pools web, api and canary. Each has a backend that answers with its pool's name and the head it got.
/// </summary>
internal sealed class RouteNode : IAsyncDisposable
{
    private readonly ConfiguredNode _node;
    private readonly RawServer[] _backends;

    private RouteNode(ConfiguredNode node, RawServer[] backends) => (_node, _backends) = (node, backends);

    public ConfiguredNode Node => _node;

    /// <summary>Starts a node.</summary>
    /// <param name="routes">The value of <c>Routes</c>, without the brackets around it.</param>
    /// <param name="listener">Further settings of the listener, each with a comma behind it.</param>
    /// <param name="pool">Further settings of each pool, each with a comma behind it.</param>
    public static async Task<RouteNode> StartAsync(string routes, string listener = "", string pool = "")
    {
        RawServer[] backends = [Server("web"), Server("api"), Server("canary")];
        string Pool(int i) => $$"""{ {{pool}} "Backends": { "b{{i}}": { "Address": "{{backends[i].Address}}" } } }""";
        var pools = $$"""{ "web": {{Pool(0)}}, "api": {{Pool(1)}}, "canary": {{Pool(2)}} }""";
        return new RouteNode(await ConfiguredNode.StartAsync(pools, $"{listener} \"Routes\": [ {routes} ],"), backends);
    }

    /// <summary>Sends a request and returns the whole answer.</summary>
    /// <param name="target">Its target.</param>
    /// <param name="fields">Its fields, each with its line end.</param>
    /// <param name="method">Its method.</param>
    /// <param name="host">Its host.</param>
    public Task<string> GetAsync(string target, string fields = "", string method = "GET", string host = "a.test") =>
        RawPeer.ExchangeAsync(_node.Port, $"{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n");

    /// <summary>Sends a request and returns the request line that the backend got, after its pool's name.</summary>
    /// <inheritdoc cref="GetAsync"/>
    public async Task<string> LineAsync(string target, string fields = "", string method = "GET", string host = "a.test")
    {
        var answer = await GetAsync(target, fields, method, host);
        var body = answer[(answer.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4)..];
        return answer.StartsWith("HTTP/1.1 200", StringComparison.Ordinal) ? body.Split(" HTTP/")[0] : answer.Split("\r\n")[0];
    }

    public async ValueTask DisposeAsync()
    {
        await _node.DisposeAsync();
        foreach (var backend in _backends)
        {
            await backend.DisposeAsync();
        }
    }

    private static RawServer Server(string name) => new(async (peer, _) =>
    {
        while (await peer.ReadHeadAsync() is { } head)
        {
            var body = $"{name}: {head}";
            await peer.SendAsync(
                $"HTTP/1.1 200 OK\r\nServer: backend\r\nX-From: {name}\r\n"
                + $"Content-Length: {Encoding.Latin1.GetByteCount(body)}\r\n\r\n{body}");
        }
    });
}
