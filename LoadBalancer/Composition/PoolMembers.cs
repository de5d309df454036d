using System.Collections.Immutable;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Health;
using LoadBalancer.Pools;

namespace LoadBalancer.Composition;

/// <summary>Makes the backends of a pool, and changes which there are.</summary>
/// <param name="time">The clock.</param>
/// <param name="sources">Knows the addresses of names.</param>
internal sealed class PoolMembers(TimeProvider time, PoolSources sources)
{
    /// <summary>
    /// Applies other options. A backend with the same name and address keeps its health, counters and connections, and what an operator has
    /// set, unless the options change that setting.
    /// </summary>
    /// <param name="update">The change of the pool.</param>
    /// <param name="before">The options before, with the members that there were to be.</param>
    /// <param name="options">The options now, with those that there are to be.</param>
    /// <param name="stay">Members that were leaving, and stay if the options have them.</param>
    /// <param name="isJoined">Whether the members are workers that join by themselves.</param>
    public void Update(PoolUpdate update, PoolOptions before, PoolOptions options, HashSet<Backend> stay, bool isJoined)
    {
        var byName = update.Members.ToLookup(member => member.Name);
        var members = new List<Backend>(options.Backends.Count);
        foreach (var (name, wanted) in options.Backends)
        {
            var member = byName[name].FirstOrDefault(member => Is(member, wanted));
            members.Add(member ?? NewJoining(name, wanted, options));
            if (member is not null)
            {
                var was = before.Backends.GetValueOrDefault(name);
                var rules = Rules(options, wanted);
                if (was is null || rules != Rules(before, was))
                {
                    update.SetRules(member, rules);
                }
                Change(member, stay.Contains(member) ? null : was, wanted, options);
            }
        }
        if (!isJoined && !members.SequenceEqual(update.Members))
        {
            update.Members = [.. members];
        }
    }

    /// <summary>Makes a backend.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="options">Its options.</param>
    /// <param name="pool">The options of the pool.</param>
    /// <param name="known">The known health of a backend at the same address; null if there is none.</param>
    /// <param name="handed">What another process knew of its health; null if that is nothing.</param>
    public Backend New(string name, BackendOptions options, PoolOptions pool, BackendHealth? known, KnownHealth? handed = null)
    {
        var health = new BackendHealth(Rules(pool, options), time, known);
        if (handed is not null)
        {
            health.Restore(handed);
        }
        var backend = new Backend(name, options.Address, health, options.Weight)
        {
            AdminState = options.AdminState,
            Tier = TierOf(options),
            HostName = options.HostName!,
            Hosts = sources.HostsOf(options),
        };
        backend.LimitTo(options.LimitIn(pool));
        return backend;
    }

    /// <summary>Makes a backend that joins a working pool: it starts slowly, if that is configured.</summary>
    public Backend NewJoining(string name, BackendOptions options, PoolOptions pool)
    {
        var backend = New(name, options, pool, null);
        backend.Ramp = pool.SlowStart > TimeSpan.Zero ? SlowStart.FirstRamp : 1;
        return backend;
    }

    /// <summary>Lets those come and go that were found, or are no longer. What operators have changed stays so.</summary>
    /// <param name="members">The members.</param>
    /// <param name="before">The options, with the members that there were to be.</param>
    /// <param name="now">The same, with those that there are to be.</param>
    /// <param name="change">What has changed.</param>
    public ImmutableArray<Backend> Refresh(
        ImmutableArray<Backend> members, PoolOptions before, PoolOptions now, MemberChange change)
    {
        bool IsAs(Backend member, PoolOptions options) => options.Backends.TryGetValue(member.Name, out var wanted) && Is(member, wanted);
        List<Backend> next = [.. members.Where(member => !IsAs(member, before) || IsAs(member, now))];
        var byName = next.DistinctBy(member => member.Name).ToDictionary(member => member.Name);
        // Where there is one of that name nevertheless, an operator has put it there.
        next.AddRange(change.Joined.Where(name => !byName.ContainsKey(name)).Select(name => NewJoining(name, now.Backends[name], now)));
        foreach (var name in change.Changed.Where(name => byName.ContainsKey(name) && IsAs(byName[name], now)))
        {
            Change(byName[name], before.Backends[name], now.Backends[name], now);
        }
        var order = now.Backends.Keys.Index().ToDictionary(entry => entry.Item, entry => entry.Index);
        next = [.. next.OrderBy(member => order.GetValueOrDefault(member.Name, int.MaxValue))];
        return next.SequenceEqual(members) ? members : [.. next];
    }

    /// <summary>
    /// The same for what operators of the cluster have set: they also say how one that was leaving goes on. It makes room for one of its
    /// name that is elsewhere; what it has in flight goes on.
    /// </summary>
    public ImmutableArray<Backend> Share(
        ImmutableArray<Backend> members, HashSet<Backend> leaving, PoolOptions before, PoolOptions now, MemberChange change)
    {
        bool IsBack(Backend member) => Is(member, now.Backends[member.Name]);
        var named = members.Where(member => change.Joined.Contains(member.Name)).ToList();
        named.Where(IsBack).ToList().ForEach(member => Change(member, null, now.Backends[member.Name], now));
        var elsewhere = named.Where(member => leaving.Contains(member) && !IsBack(member));
        return Refresh(members.RemoveRange(elsewhere), before, now, change);
    }

    private static bool Is(Backend member, BackendOptions wanted) =>
        member.Address == wanted.Address && member.HostName == (wanted.HostName ?? wanted.Address.Host);

    private static void Change(Backend backend, BackendOptions? was, BackendOptions now, PoolOptions pool)
    {
        backend.Weight = was?.Weight == now.Weight ? backend.Weight : now.Weight;
        backend.AdminState = was?.AdminState == now.AdminState ? backend.AdminState : now.AdminState;
        backend.LimitTo(now.LimitIn(pool));
        backend.Tier = TierOf(now);
        backend.Agent = pool.HealthCheck?.Type == ProbeType.Agent ? backend.Agent : AgentReport.None;
    }

    private static int TierOf(BackendOptions options) => options.Tier + (options.Backup ? Backend.BackupTier : 0);

    private static HealthRules Rules(PoolOptions options, BackendOptions backend) => new()
    {
        Probed = options.HealthCheck is not null,
        Heartbeats = options.Heartbeat is not null && backend.HeartbeatAddress is not null,
        Rise = options.HealthCheck?.Rise ?? 1,
        Fall = options.HealthCheck?.Fall ?? 1,
        Failures = options.PassiveHealth.Failures,
        FailureShare = options.PassiveHealth.FailureShare,
        Window = options.PassiveHealth.Window,
        Ejection = options.PassiveHealth.Ejection,
        LongestEjection = options.PassiveHealth.LongestEjection,
    };
}
