using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Upstream.Http1;
using LoadBalancer.Http.Upstream.Http2;
using LoadBalancer.Pools;
using LoadBalancer.Tls;

namespace LoadBalancer.Http.Upstream;

/// <summary>The connections to one backend, of both HTTP versions.</summary>
internal sealed class BackendConnections : IDisposable
{
    /// <summary>Makes it; no connection is opened yet.</summary>
    public BackendConnections(Backend backend, PoolOptions options, BackendTrust trust, TimeProvider time)
    {
        Http2 = new Http2Connections(backend, options, trust, time);
        Http1 = new Http1Connections(backend, options, trust, time, Http2.TakeOver);
    }

    /// <summary>The HTTP/1.1 connections, each of which carries one request after the other.</summary>
    public Http1Connections Http1 { get; }

    /// <summary>The HTTP/2 connections, each of which carries many requests.</summary>
    public Http2Connections Http2 { get; }

    /// <summary>When the backend was first seen to have left the pool; a timestamp of the clock.</summary>
    public long? RetiredAt { get; set; }

    /// <summary>Whether there is no connection: in use, idle, or being opened.</summary>
    public bool IsEmpty => Http1.IsEmpty && Http2.IsEmpty;

    /// <summary>Aborts what is past its deadline, and closes connections that were idle for too long.</summary>
    public void Sweep()
    {
        Http1.Sweep();
        Http2.Sweep();
    }

    /// <summary>Closes the idle connections; those in use are closed after their requests.</summary>
    public void Dispose()
    {
        Http1.Dispose();
        Http2.Dispose();
    }
}
