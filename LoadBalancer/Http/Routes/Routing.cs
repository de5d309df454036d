namespace LoadBalancer.Http.Routes;

/// <summary>The routing of a listener's requests; its table is replaced when the configuration changes.</summary>
public sealed class Routing
{
    private volatile RouteTable _current;

    /// <summary>Makes the routing of a listener.</summary>
    public Routing(RouteTable table) => _current = table;

    /// <summary>The current table. Read it once per request.</summary>
    public RouteTable Current
    {
        get => _current;
        set => _current = value;
    }
}
