namespace LoadBalancer.Configuration.Options;

/// <summary>How a probe asks.</summary>
public enum ProbeType
{
    /// <summary>GET; 2xx is success.</summary>
    Http,

    /// <summary>A connection is opened and closed.</summary>
    Tcp,
}

/// <summary>Polling health checks.</summary>
public sealed record HealthCheckOptions
{
    /// <summary>How a probe asks. Default null: Http, or Tcp where the backends speak no HTTP.</summary>
    public ProbeType? Type { get; init; }

    /// <summary>The path that an Http probe asks for, with a query where one is needed. Default <c>/</c>.</summary>
    public string Path { get; init; } = "/";

    /// <summary>How often a healthy backend is probed. Default 30 s.</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How often an unhealthy backend is probed. Default 2 s.</summary>
    public TimeSpan DownInterval { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How long one probe may take until the head of the response is there. Default 5 s.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Consecutive successes that bring a backend up. Default 1.</summary>
    public int Rise { get; init; } = 1;

    /// <summary>Consecutive failures that take a backend down. Default 1.</summary>
    public int Fall { get; init; } = 1;
}
