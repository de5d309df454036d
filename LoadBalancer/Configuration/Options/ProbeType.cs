namespace LoadBalancer.Configuration.Options;

/// <summary>How a probe asks.</summary>
public enum ProbeType
{
    /// <summary>A request; its status, and perhaps its body, says whether the backend is healthy.</summary>
    Http,

    /// <summary>A connection is opened and closed.</summary>
    Tcp,

    /// <summary>The standard health check of gRPC (<c>grpc.health.v1.Health/Check</c>).</summary>
    Grpc,

    /// <summary>
    /// An agent beside the server is asked for a line, as with <c>agent-check</c> of HAProxy. It steers weight and state too.
    /// </summary>
    Agent,
}
