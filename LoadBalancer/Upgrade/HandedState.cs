using System.Text.Json.Nodes;
using LoadBalancer.Pools;

namespace LoadBalancer.Upgrade;

/// <summary>What a process knows beside its configuration, for the one that replaces it. Counters begin anew.</summary>
internal sealed class HandedState
{
    /// <summary>The pools whose backends are configured, or were added by operators.</summary>
    public List<HandedPool>? Pools { get; set; }

    /// <summary>The last events of the dashboard, as the API shows them.</summary>
    public JsonArray? Events { get; set; }

    /// <summary>The changes that operators have made, as the audit has them.</summary>
    public JsonArray? Audit { get; set; }

    /// <summary>Whether the service manager keeps the sockets open.</summary>
    public bool AreSocketsKept { get; set; }

    /// <summary>The files of the Unix sockets that this process would remove in the end; the next one does so instead.</summary>
    public List<string>? SocketFiles { get; set; }

    /// <summary>Whether each broker serves or watches, by the name of its listener.</summary>
    public Dictionary<string, string>? Brokers { get; set; }

    /// <summary>The place of the node in its cluster; null where it is in none.</summary>
    public HandedCluster? Cluster { get; set; }

    /// <summary>What operators of the cluster have set, as in the copy on disk; null where the node is in no cluster.</summary>
    public string? Shared { get; set; }

    /// <summary>The leases with which this node is the main of Broker listeners, by listener; null where it is in no cluster.</summary>
    public Dictionary<string, long>? Mains { get; set; }

    /// <summary>The processes that may still do work under these leases: this one, and those that it has replaced.</summary>
    public List<int>? MainProcesses { get; set; }

    /// <summary>What to answer to authorities that look at names for certificates, by their tokens.</summary>
    public Dictionary<string, string>? Challenges { get; set; }
}

/// <summary>A pool.</summary>
internal sealed class HandedPool
{
    /// <summary>Its name.</summary>
    public string Name { get; set; } = "";

    /// <summary>The key of its sticky sessions; null where it has none. Used where it cannot be stored in a file.</summary>
    public byte[]? StickyKey { get; set; }

    /// <summary>What the configuration said about the settings that operators can change.</summary>
    public JsonObject? ConfiguredSettings { get; set; }

    /// <summary>Those settings as they are.</summary>
    public JsonObject? Settings { get; set; }

    /// <summary>What the configuration said about its backends.</summary>
    public List<HandedBackend>? Configured { get; set; }

    /// <summary>What its names led to last; null where nothing is known of any.</summary>
    public List<HandedAnswer>? Found { get; set; }

    /// <summary>Its backends as they are: operators may have changed, added and removed some.</summary>
    public List<HandedBackend>? Backends { get; set; }
}

/// <summary>A backend.</summary>
internal sealed class HandedBackend
{
    /// <summary>Its name.</summary>
    public string Name { get; set; } = "";

    /// <summary>Its address.</summary>
    public string Address { get; set; } = "";

    /// <summary>Its weight.</summary>
    public int Weight { get; set; } = 1;

    /// <summary>Its admin state.</summary>
    public string AdminState { get; set; } = nameof(Pools.AdminState.Ready);

    /// <summary>Its health; null in the configuration.</summary>
    public KnownHealth? Health { get; set; }

    /// <summary>The limit that its response times have told; 0 where it is not found by them.</summary>
    public int Limit { get; set; }

    /// <summary>The base time of that limit, in seconds; 0 where it is not known.</summary>
    public double BaseSeconds { get; set; }
}
