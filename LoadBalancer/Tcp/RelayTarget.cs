using System.Net;
using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Tcp;

/// <summary>Where a listener's connections go, and how; replaced as a whole when the configuration changes. Immutable.</summary>
/// <param name="listener">The listener's options.</param>
/// <param name="pool">Where backends come from.</param>
/// <param name="poolOptions">That pool's options.</param>
internal sealed class RelayTarget(TcpListenerOptions listener, BackendPool pool, PoolOptions poolOptions)
{
    /// <summary>Where backends come from.</summary>
    public BackendPool Pool => pool;

    /// <summary>That pool's options.</summary>
    public PoolOptions PoolOptions => poolOptions;

    /// <summary>How long nothing may move over a connection.</summary>
    public TimeSpan IdleTimeout => listener.IdleTimeout;

    /// <summary>What a client is sent where no backend can be had; null where that is nothing.</summary>
    public byte[]? UnavailableMessage { get; } = string.IsNullOrEmpty(listener.UnavailableMessage)
        ? null : Encoding.UTF8.GetBytes(listener.UnavailableMessage);

    /// <summary>Whether a peer begins with a PROXY header, and is believed.</summary>
    public bool IsProxy(IPAddress peer)
    {
        peer = peer.Unmap();
        return listener.AcceptProxyProtocol && listener.TrustedProxies.Any(network => network.Contains(peer));
    }
}
