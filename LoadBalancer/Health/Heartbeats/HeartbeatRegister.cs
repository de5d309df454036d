using System.Collections.Immutable;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Health.Heartbeats;

/// <summary>
/// Finds the backend that a datagram comes from: by its configured heartbeat address, or by the source address from which it has
/// registered. Not thread-safe: guarded by the lock of the <see cref="HeartbeatMonitor"/>.
/// </summary>
/// <param name="time">The clock.</param>
internal sealed class HeartbeatRegister(TimeProvider time)
{
    private readonly LocalAddresses _local = new(time);
    private readonly Dictionary<IpPort, HeartbeatMember> _configured = [];
    private readonly Dictionary<ushort, HeartbeatMember> _configuredPorts = []; // heartbeats from any local address with this port
    private readonly Dictionary<IpPort, HeartbeatMember> _registered = []; // each by its Registered, never a source that is configured
    private int _lastNumber;

    /// <summary>Every backend whose heartbeats are expected.</summary>
    public ImmutableArray<HeartbeatMember> Members { get; private set; } = [];

    /// <summary>Takes over the members of the pool. What is known of a backend stays, unless its addresses have changed.</summary>
    /// <param name="backends">The pool's members.</param>
    /// <param name="options">What the configuration says about them, by name.</param>
    public void SetMembers(IEnumerable<Backend> backends, IReadOnlyDictionary<string, BackendOptions> options)
    {
        var before = Members;
        // An operator may have put another backend of the same name there at run time; where its heartbeats come from is not known.
        IpPort? SourceOf(Backend backend) =>
            options.GetValueOrDefault(backend.Name) is { HeartbeatAddress: { } wanted } known && known.Address == backend.Address
                ? IpPort.Of(wanted)
                : null;
        Members =
        [
            .. from backend in backends
               let source = SourceOf(backend)
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

    /// <summary>The backend whose heartbeats come from a source address; null if there is none.</summary>
    public HeartbeatMember? Find(IpPort source) =>
        _configured.GetValueOrDefault(source) ?? _registered.GetValueOrDefault(source) ?? FindByPort(source);

    /// <summary>The backend that a registration names; null if there is none. Both of its addresses must fit.</summary>
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

    /// <summary>
    /// From now on the member's heartbeats may come from this source too, and no longer from the one from which it registered before.
    /// </summary>
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

    // A host name in the configuration is not looked up: the port and the heartbeat address say enough.
    private bool FitsTcp(HeartbeatMember member, IpPort announced, IpPort source) =>
        member.Tcp is { } configured ? Fits(configured, announced, source) : announced.Port == member.Backend.Address.Port;

    // 0.0.0.0 means any local address: of this machine in the configuration, of the sender's machine in a registration.
    private bool Fits(IpPort configured, IpPort announced, IpPort source) =>
        configured.Port == announced.Port
        && (configured.Ip == announced.Ip && !configured.IsAny
            || configured.IsAny && (announced.IsAny ? _local.Contains(source) : _local.Contains(announced))
            || announced.IsAny && (configured.Ip == source.Ip || _local.Contains(configured) && _local.Contains(source)));
}

/// <summary>A backend whose heartbeats are expected, and what is known from them.</summary>
/// <param name="number">A number above 0 that no other member of the pool ever has.</param>
/// <param name="backend">The backend.</param>
/// <param name="udp">The configured source address of its heartbeats.</param>
internal sealed class HeartbeatMember(int number, Backend backend, IpPort udp)
{
    public int Number { get; } = number;

    public Backend Backend { get; } = backend;

    public IpPort Udp { get; } = udp;

    /// <summary>The address at which it serves; null if the configuration has a host name.</summary>
    public IpPort? Tcp { get; } = IpPort.Of(backend.Address);

    /// <summary>The source address from which it has registered, if that is not a configured one.</summary>
    public IpPort? Registered { get; set; }

    public HeartbeatState State { get; set; }

    /// <summary>Timestamp of the last sign of life; before the first one, of when heartbeats began to be expected.</summary>
    public long SeenAt { get; set; }

    /// <summary>The load that it reported last, in percent.</summary>
    public int Load { get; set; }
}

/// <summary>What the pool was last told about the heartbeats of a backend.</summary>
internal enum HeartbeatState
{
    /// <summary>Nothing yet: the first one is awaited.</summary>
    Awaited,

    /// <summary>That it is alive.</summary>
    Alive,

    /// <summary>That none came in time.</summary>
    Silent,
}
