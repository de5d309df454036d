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

    /// <summary>How long a connection may be idle.</summary>
    public TimeSpan IdleTimeout => listener.IdleTimeout;

    /// <summary>The message to a client if no backend is available; null for none.</summary>
    public byte[]? UnavailableMessage { get; } =
        string.IsNullOrEmpty(listener.UnavailableMessage) ? null : Encoding.UTF8.GetBytes(listener.UnavailableMessage);

    /// <summary>Whether a peer is a trusted proxy, whose connections begin with a PROXY header.</summary>
    public bool IsProxy(EndPoint peer) => listener.AcceptProxyProtocol && listener.TrustedProxies.Contain(peer.IpAddress());
}
