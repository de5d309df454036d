using System.Collections.Immutable;

namespace LoadBalancer.Configuration.Options;

/// <summary>Polling health checks.</summary>
public sealed record HealthCheckOptions
{
    /// <summary>The most of a body that is looked at, in bytes.</summary>
    internal const int MaxBody = 64 * 1024;

    /// <summary>How a probe asks. Default null: Http, or Tcp where the backends speak no HTTP.</summary>
    public ProbeType? Type { get; init; }

    /// <summary>The path that an Http probe asks for, with a query where one is needed. Default <c>/</c>.</summary>
    [Secret(IsQuery = true)]
    public string Path { get; init; } = "/";

    /// <summary>The method of an Http probe. Default GET.</summary>
    public string Method { get; init; } = "GET";

    /// <summary>
    /// What an Http or Grpc probe names as the host (Host, :authority). Default null: the name or IP address in the backend's address, with
    /// the port.
    /// </summary>
    public string? Host { get; init; }

    /// <summary>The port that is probed. Default null: that of the backend. Required for an agent.</summary>
    public int? Port { get; init; }

    /// <summary>Further header fields of an Http or Grpc probe.</summary>
    [Secret]
    public IReadOnlyDictionary<string, string> Headers { get; init; } = ImmutableDictionary<string, string>.Empty;

    /// <summary>The statuses with which an Http probe succeeds: a list of statuses and ranges. Default <c>200-299</c>.</summary>
    public string Status { get; init; } = "200-299";

    /// <summary>A text that must be in the first 64 KiB of the body, in UTF-8. Default null: the body is not read.</summary>
    public string? Body { get; init; }

    /// <summary>The service that a Grpc probe asks for. Default empty: the server as a whole.</summary>
    public string Service { get; init; } = "";

    /// <summary>A text that is sent to an agent first. Default null: nothing is sent.</summary>
    [Secret]
    public string? Send { get; init; }

    /// <summary>How often a healthy backend is probed. Default 30 s.</summary>
    public TimeSpan Interval { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How often an unhealthy backend is probed. Default 2 s.</summary>
    public TimeSpan DownInterval { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How long one probe may take, the body included where <see cref="Body"/> is looked for. Default 5 s.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Consecutive successes that bring a backend up. Default 1.</summary>
    public int Rise { get; init; } = 1;

    /// <summary>Consecutive failures that take a backend down. Default 1.</summary>
    public int Fall { get; init; } = 1;
}
