using System.Collections.Concurrent;
using Microsoft.Extensions.Http;
using Microsoft.Extensions.Options;

namespace LoadBalancer;

/// <summary>
/// Makes the clients of pools, of which a new configuration may bring some at any time: each has a handler of its own, made once,
/// that is neither logged nor rotated, because its connections are the pool's.
/// </summary>
internal sealed class PoolClients : IConfigureNamedOptions<HttpClientFactoryOptions>
{
    private readonly ConcurrentDictionary<string, HttpMessageHandler> _handlers = new();
    private int _lastNumber;

    /// <summary>Makes a client over a handler, which must be disposed of separately.</summary>
    public HttpClient Create(IHttpClientFactory factory, string purpose, HttpMessageHandler handler)
    {
        var name = $"{purpose} #{Interlocked.Increment(ref _lastNumber)}";
        _handlers[name] = handler;
        var client = factory.CreateClient(name);
        client.Timeout = Timeout.InfiniteTimeSpan; // Time-outs are the handler's or the probe's: a slow message that moves is never cut.
        _handlers.TryRemove(name, out _);
        return client;
    }

    /// <inheritdoc/>
    public void Configure(string? name, HttpClientFactoryOptions options)
    {
        if (name is not null && _handlers.TryGetValue(name, out var handler))
        {
            options.HandlerLifetime = Timeout.InfiniteTimeSpan;
            options.HttpMessageHandlerBuilderActions.Add(builder => builder.PrimaryHandler = handler);
        }
    }

    /// <inheritdoc/>
    public void Configure(HttpClientFactoryOptions options)
    {
        // Nobody asks for a client without a name.
    }
}
