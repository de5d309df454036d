namespace LoadBalancer.Upgrade;

/// <summary>A server that was found by a name.</summary>
internal sealed class HandedServer
{
    /// <summary>Its IP address.</summary>
    public string Address { get; set; } = "";

    /// <summary>The name that has this address.</summary>
    public string Host { get; set; } = "";

    /// <summary>Where it listens; 0 where only SRV records would tell.</summary>
    public int Port { get; set; }

    /// <summary>Its priority in SRV records.</summary>
    public int Priority { get; set; }

    /// <summary>Its weight in SRV records.</summary>
    public int Weight { get; set; }
}
