using LoadBalancer.Configuration.Options;
using LoadBalancer.Configuration.Reading;
using LoadBalancer.Diagnostics;
using LoadBalancer.Discovery;
using LoadBalancer.Files;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Upgrade;

namespace LoadBalancer.Composition;

/// <summary>
/// Where the members of a pool come from: its options, the file that they name, and the names that are looked up. Only under the lock for
/// changes of pools.
/// </summary>
/// <param name="pool">The pool.</param>
/// <param name="parts">What the pools of a node have in common.</param>
/// <param name="changed">
/// Called without that lock when there are other members; says whether they were taken up, and is called again later if not.
/// </param>
internal sealed class PoolSources(string pool, NodePoolParts parts, Func<bool> changed) : IDisposable
{
    private readonly PoolNames _names = new(pool, changed, parts.Time, parts.Loggers.CreateLogger<WatchedName>());

    /// <summary>How often names were looked up.</summary>
    public LookupCounts Lookups => _names.Counts;

    /// <summary>What names led to last, for the process that replaces this one.</summary>
    public List<HandedAnswer> HandOver() => [.. _names.Answers.Select(HandedNames.Of)];

    /// <summary>Goes on from what another process knew.</summary>
    /// <param name="options">The options of the pool.</param>
    /// <param name="answers">What names led to there; null where nothing is known.</param>
    public void Begin(DnsOptions options, List<HandedAnswer>? answers)
    {
        _names.Options = options;
        foreach (var (key, answer) in (answers ?? []).Select(HandedNames.Read).OfType<(NameKey, LookupAnswer)>())
        {
            _names.Watch(key).Begin(answer);
        }
    }

    /// <summary>Opens the file of the pool, or keeps the one that is open.</summary>
    /// <returns>The file; null where the options name none.</returns>
    /// <exception cref="StartException">It cannot be used.</exception>
    public WatchedFile<IReadOnlyDictionary<string, BackendOptions>>? Open(PoolOptions options, PoolState? before)
    {
        if (options.BackendsFile is not { } path)
        {
            return null;
        }
        if (before is { List: { } open } && before.Options.BackendsFile == path
            && before.Options.Backends.Keys.SequenceEqual(options.Backends.Keys) && before.Options.IsHttp == options.IsHttp)
        {
            return open;
        }
        try
        {
            var logger = parts.Loggers.CreateLogger<PoolSources>();
            return new(path, BackendList.ReaderFor(options), parts.Time, logger) { Changed = () => changed() };
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or FormatException)
        {
            throw new StartException($"pool '{pool}': BackendsFile '{path}' cannot be used: {e.Message}", e);
        }
    }

    /// <summary>The options with the members that there are now as their backends.</summary>
    /// <param name="options">The options.</param>
    /// <param name="list">The file that they name.</param>
    public PoolOptions WithMembers(PoolOptions options, WatchedFile<IReadOnlyDictionary<string, BackendOptions>>? list)
    {
        var backends = options.Backends.Concat(list?.Content ?? new Dictionary<string, BackendOptions>()).ToList();
        return backends.Exists(entry => NameKey.Of(entry.Value) is { IsOfMembers: true }) || list is not null
            ? options with { Backends = FoundMembers.Of(backends, _names.Find) }
            : options;
    }

    /// <summary>Looks up the names from which members come.</summary>
    /// <param name="options">The options.</param>
    /// <param name="list">The file that they name.</param>
    /// <returns>Whether it is not known yet who all the members are.</returns>
    public bool Watch(PoolOptions options, WatchedFile<IReadOnlyDictionary<string, BackendOptions>>? list)
    {
        _names.Options = options.Dns;
        return NamesOf(options, list).Select(_names.Watch).ToList().Exists(name => !name.IsKnown);
    }

    /// <summary>Looks up the same names and those of members from now on, and no others.</summary>
    /// <param name="options">The options.</param>
    /// <param name="list">The file that they name.</param>
    /// <param name="members">The members; operators may have added some.</param>
    public void Keep(
        PoolOptions options, WatchedFile<IReadOnlyDictionary<string, BackendOptions>>? list, IEnumerable<Backend> members)
    {
        var hosts = members.Select(member => member.Hosts).OfType<HostAddresses>().Select(host => new NameKey(NameKind.First, host.Host));
        _names.Keep(NamesOf(options, list).Concat(hosts).ToHashSet());
    }

    /// <summary>The addresses of a backend, which are looked up from now on; null where its address has no name.</summary>
    public HostAddresses? HostsOf(BackendOptions backend) =>
        NameKey.Of(backend) is { IsOfMembers: false } key ? _names.Watch(key).Hosts : null;

    /// <summary>Begins to look up names.</summary>
    public void Start() => _names.Start();

    /// <inheritdoc/>
    public void Dispose() => _names.Dispose();

    private static IEnumerable<NameKey> NamesOf(
        PoolOptions options, WatchedFile<IReadOnlyDictionary<string, BackendOptions>>? list) =>
        from entry in options.Backends.Concat(list?.Content ?? new Dictionary<string, BackendOptions>())
        let key = NameKey.Of(entry.Value)
        where key is { IsOfMembers: true }
        select key;
}
