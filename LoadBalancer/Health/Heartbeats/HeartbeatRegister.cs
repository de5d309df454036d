using System.Collections.Immutable;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Health.Heartbeats;

/// <summary>Knows which backend a datagram comes from: by its configured heartbeat address, or by the source that it has registered from.</summary>
/// <param name="time">The clock.</param>
internal sealed class HeartbeatRegister(TimeProvider time)
{
    private readonly LocalAddresses _local = new(time);
    private readonly Dictionary<IpPort, HeartbeatMember> _configured = [];
    private readonly Dictionary<ushort, HeartbeatMember> _configuredPorts = []; // heartbeats from any local address with this port
    private readonly Dictionary<IpPort, HeartbeatMember> _registered = []; // each by its Registered, never a source that is configured
    private int _lastNumber;

    /// <summary>Every backend whose heartbeats are wanted.</summary>
    public ImmutableArray<HeartbeatMember> Members { get; private set; } = [];

    /// <summary>Takes up who is in the pool. Who stays as it was keeps all that is known of it.</summary>
    /// <param name="backends">The pool's members.</param>
    /// <param name="options">What the configuration says of them, by name.</param>
    public void SetMembers(IEnumerable<Backend> backends, IReadOnlyDictionary<string, BackendOptions> options)
    {
        var before = Members;
        // Another backend of the same name may have been put there at run time; nobody knows where its heartbeats come from.
        Members =
        [
            .. from backend in backends
               let source = options.GetValueOrDefault(backend.Name) is { HeartbeatAddress: { } wanted } known && known.Address == backend.Address ? IpPort.Of(wanted) : null
               where source is not null
               select before.FirstOrDefault(member => member.Backend == backend && member.Udp == source)
                      ?? new HeartbeatMember(++_lastNumber, backend, source.Value) { SeenAt = time.GetTimestamp() },
        ];
        _configured.Clear();
        _configuredPorts.Clear();
        _registered.Clear();
        foreach (var member in Members)
        {
            if (member.Udp.IsAny)
            {
                _configuredPorts.TryAdd(member.Udp.Port, member);
            }
            else
            {
                _configured.TryAdd(member.Udp, member);
            }
        }
        foreach (var member in Members)
        {
            if (member.Registered is { } source)
            {
                SetRegistered(member, source);
            }
        }
    }

    /// <summary>Whose datagrams come from a source; null where that is nobody's.</summary>
    public HeartbeatMember? Find(IpPort source) =>
        _configured.GetValueOrDefault(source) ?? _registered.GetValueOrDefault(source) ?? FindByPort(source);

    /// <summary>Which backend a registration names; null where there is none. Each of its two addresses must fit.</summary>
    public HeartbeatMember? Find(in HeartbeatMessage registration, IpPort source)
    {
        foreach (var member in Members)
        {
            if (Fits(member.Udp, registration.Udp, source) && FitsTcp(member, registration.Tcp, source))
            {
                return member;
            }
        }
        return null;
    }

    /// <summary>From now on the member's heartbeats come from there too; no longer from where it registered before.</summary>
    public void Register(HeartbeatMember member, IpPort source)
    {
        if (member.Registered is { } former)
        {
            _registered.Remove(former);
        }
        SetRegistered(member, source);
    }

    // A configured source belongs to its backend whatever others say; where it is the member's own, it needs no registration.
    private void SetRegistered(HeartbeatMember member, IpPort source)
    {
        if (_configured.ContainsKey(source) || FindByPort(source) is not null)
        {
            member.Registered = null;
            return;
        }
        if (_registered.GetValueOrDefault(source) is { } other)
        {
            other.Registered = null; // The same program says that it is another backend now.
        }
        (member.Registered, _registered[source]) = (source, member);
    }

    private HeartbeatMember? FindByPort(IpPort source) =>
        _configuredPorts.TryGetValue(source.Port, out var member) && _local.Contains(source) ? member : null;

    // Where the configuration has a name, it is not looked up: the port and the heartbeat address say enough.
    private bool FitsTcp(HeartbeatMember member, IpPort announced, IpPort source) =>
        member.Tcp is { } configured ? Fits(configured, announced, source) : announced.Port == member.Backend.Address.Port;

    // 0.0.0.0 is any local address: in the configuration, of this machine; in what is announced, of the sender's.
    private bool Fits(IpPort configured, IpPort announced, IpPort source) =>
        configured.Port == announced.Port
        && (configured.Ip == announced.Ip && !configured.IsAny
            || configured.IsAny && (announced.IsAny ? _local.Contains(source) : _local.Contains(announced))
            || announced.IsAny && (configured.Ip == source.Ip || _local.Contains(configured) && _local.Contains(source)));
}

/// <summary>A backend whose heartbeats are wanted, and what has come of them.</summary>
/// <param name="number">A number that no other member of the pool ever has, above 0.</param>
/// <param name="backend">The backend.</param>
/// <param name="udp">Where its heartbeats come from, by the configuration.</param>
internal sealed class HeartbeatMember(int number, Backend backend, IpPort udp)
{
    public int Number { get; } = number;

    public Backend Backend { get; } = backend;

    public IpPort Udp { get; } = udp;

    /// <summary>Where it serves; null where the configuration has a name.</summary>
    public IpPort? Tcp { get; } = IpPort.Of(backend.Address);

    /// <summary>Where it has registered from, if that is elsewhere.</summary>
    public IpPort? Registered { get; set; }

    public HeartbeatState State { get; set; }

    /// <summary>When the last sign of life came; before the first one, when they began to be wanted.</summary>
    public long SeenAt { get; set; }

    /// <summary>How busy it said last that it is.</summary>
    public int Load { get; set; }
}

/// <summary>What the heartbeats of a backend have told its pool.</summary>
internal enum HeartbeatState
{
    /// <summary>Nothing yet.</summary>
    Awaited,

    /// <summary>That it is there.</summary>
    Alive,

    /// <summary>That it has fallen silent.</summary>
    Silent,
}
