using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Discovery;

/// <summary>The names of one pool that are looked up. Except for <see cref="Counts"/>, only under the lock for changes of pools.</summary>
/// <param name="pool">The pool.</param>
/// <param name="changed">Called without a lock after an answer that changes members, see <see cref="WatchedName"/>.</param>
/// <param name="time">The clock.</param>
/// <param name="logger">Gets outages of names.</param>
internal sealed class PoolNames(string pool, Func<bool> changed, TimeProvider time, ILogger logger) : IDisposable
{
    private readonly Dictionary<NameKey, WatchedName> _names = [];
    private DnsOptions _options = new();
    private bool _isStarted;

    /// <summary>How often names were looked up.</summary>
    public LookupCounts Counts { get; } = new();

    /// <summary>How names are looked up from now on. What is known about them stays.</summary>
    public DnsOptions Options
    {
        get => _options;
        set
        {
            if (value == _options)
            {
                return;
            }
            _options = value;
            foreach (var (key, name) in _names.ToList())
            {
                name.Dispose();
                _names[key] = Started(new WatchedName(name, value));
            }
        }
    }

    /// <summary>The names with answers.</summary>
    public IEnumerable<(NameKey Key, LookupAnswer Answer)> Answers =>
        from entry in _names
        where entry.Value.Answer is not null
        select (entry.Key, entry.Value.Answer);

    /// <summary>Begins to look up the names.</summary>
    public void Start()
    {
        _isStarted = true;
        foreach (var name in _names.Values)
        {
            name.Start();
        }
    }

    /// <summary>A name, which is looked up from now on.</summary>
    public WatchedName Watch(NameKey key)
    {
        if (!_names.TryGetValue(key, out var name))
        {
            name = new WatchedName(pool, key, _options, Counts, changed, time, logger);
            if (AnswerOfSameName(key) is { } answer)
            {
                name.Begin(answer);
            }
            _names[key] = Started(name);
        }
        return name;
    }

    /// <summary>The last answer for a name; null where there is none.</summary>
    public LookupAnswer? Find(NameKey key) => _names.GetValueOrDefault(key)?.Answer;

    /// <summary>Looks up these names only.</summary>
    public void Keep(IReadOnlySet<NameKey> keys)
    {
        foreach (var key in _names.Keys.Where(key => !keys.Contains(key)).ToList())
        {
            _names.Remove(key, out var name);
            name!.Dispose();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Keep(new HashSet<NameKey>());

    // Where Resolve has changed the addresses are the same.
    private LookupAnswer? AnswerOfSameName(NameKey key) => key.Kind switch
    {
        NameKind.First => Find(key with { Kind = NameKind.All }),
        NameKind.All => Find(key with { Kind = NameKind.First }),
        NameKind.Service => null,
    };

    private WatchedName Started(WatchedName name)
    {
        if (_isStarted)
        {
            name.Start();
        }
        return name;
    }
}
