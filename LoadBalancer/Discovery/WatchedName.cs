using System.Net.Sockets;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;

namespace LoadBalancer.Discovery;

/// <summary>
/// A name that is looked up again and again: when the records' TTL is over, within the bounds of the options; after a failure soon, then
/// ever later. The last good answer holds until there is another one. An outage of a name is one line in the log when it begins, and one
/// when it ends.
/// </summary>
internal sealed partial class WatchedName : IDisposable
{
    private const int SystemFactor = 6; // MinInterval times this is the time for answers without a TTL.
    private const int MostDoublings = 20;

    private readonly string _pool;
    private readonly NameKey _key;
    private readonly NameLookup _lookup;
    private readonly DnsOptions _options;
    private readonly LookupCounts _counts;
    private readonly Func<bool> _changed;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _disposed = new(); // needs no Dispose: it has no timer and no linked token
    private bool _isStarted;
    private volatile LookupAnswer? _answer;
    private volatile bool _isKnown;
    private int _failures; // since the last good answer
    private long _failedAt;

    /// <summary>Makes one that looks up nothing yet, see <see cref="Start"/>.</summary>
    /// <param name="pool">The pool, for the log.</param>
    /// <param name="key">The name.</param>
    /// <param name="options">Whom to ask, and how often.</param>
    /// <param name="counts">Counts the lookups.</param>
    /// <param name="changed">
    /// Called after a lookup of a name whose servers are members: if the answer is another one, or nothing was known before. Says whether
    /// the answer was applied; if not, it is called again after the next lookup.
    /// </param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Gets outages.</param>
    public WatchedName(
        string pool, NameKey key, DnsOptions options, LookupCounts counts, Func<bool> changed, TimeProvider time, ILogger logger)
    {
        (_pool, _key, _options, _counts, _changed, _time, _logger) = (pool, key, options, counts, changed, time, logger);
        _lookup = new NameLookup(options, time);
        Hosts = new HostAddresses(key.Host);
    }

    /// <summary>Makes one that goes on with what another one knows, by other options.</summary>
    public WatchedName(WatchedName before, DnsOptions options)
        : this(before._pool, before._key, options, before._counts, before._changed, before._time, before._logger)
    {
        (Hosts, _answer, _isKnown, _failures, _failedAt) =
            (before.Hosts, before._answer, before._isKnown, before._failures, before._failedAt);
    }

    /// <summary>The addresses of the name, for where connections are opened.</summary>
    public HostAddresses Hosts { get; }

    /// <summary>The last good answer; null where there was none yet.</summary>
    public LookupAnswer? Answer => _answer;

    /// <summary>Whether a lookup has ended, well or not, or an answer was known from the beginning.</summary>
    public bool IsKnown => _isKnown;

    /// <summary>Sets what was known before; only before the start.</summary>
    public void Begin(LookupAnswer answer) => Take(answer);

    /// <summary>Begins to look it up, the first time at once.</summary>
    public void Start()
    {
        if (!_isStarted)
        {
            _isStarted = true;
            BackgroundTask.Run(Task.Run(() => RunAsync(_disposed.Token)), _logger, $"pool '{_pool}': looking up '{_key.Host}'");
        }
    }

    /// <summary>Ends the lookups; the last answer stays.</summary>
    public void Dispose() => _disposed.Cancel();

    private async Task RunAsync(CancellationToken cancellationToken)
    {
        var mustApply = false;
        while (!cancellationToken.IsCancellationRequested)
        {
            var wasKnown = _isKnown;
            TimeSpan next;
            try
            {
                var answer = await (_key.Kind == NameKind.Service
                    ? _lookup.FindServiceAsync(_key.Host, _answer, cancellationToken)
                    : _lookup.FindHostAsync(_key.Host, _answer, cancellationToken));
                mustApply |= _answer is not { } last || !AreSame(last.Servers, answer.Servers);
                next = Succeed(answer);
            }
            catch (LookupException e)
            {
                next = Fail(e);
            }
            if (_key.IsOfMembers && (mustApply || !wasKnown) && !cancellationToken.IsCancellationRequested)
            {
                mustApply = !_changed();
            }
            await Task.Delay(next, _time, cancellationToken);
        }
    }

    // Servers turn the order of their answers: that is no change.
    private static bool AreSame(IReadOnlyList<FoundServer> before, IReadOnlyList<FoundServer> now) =>
        before.Count == now.Count && before.ToHashSet().SetEquals(now);

    private TimeSpan Succeed(LookupAnswer answer)
    {
        _counts.Add(LookupResult.Success);
        Take(answer);
        if (_failures > 0)
        {
            _failures = 0;
            LogResolved(_pool, _key.Host, (long)_time.GetElapsedTime(_failedAt).TotalSeconds);
        }
        return Clamp(answer.Ttl ?? _options.MinInterval * SystemFactor);
    }

    private void Take(LookupAnswer answer)
    {
        (_answer, _isKnown) = (answer, true);
        if (answer.Servers.Count > 0)
        {
            Hosts.Set(answer.Servers.Select(server => server.Address));
        }
    }

    private TimeSpan Fail(LookupException failure)
    {
        _counts.Add(failure.Result);
        _isKnown = true;
        Hosts.Fail(failure.Result is LookupResult.Nxdomain or LookupResult.Empty ? SocketError.HostNotFound : SocketError.TryAgain);
        if (_failures++ == 0)
        {
            _failedAt = _time.GetTimestamp();
            LogUnresolved(_pool, _key.Host, failure.Message, _answer is { Servers.Count: var count and > 0 }
                ? $"what it led to last ({count}) stays in use" : "nothing is known that it led to before");
        }
        return Clamp(_options.MinInterval * Math.Pow(2, Math.Min(_failures - 1, MostDoublings)));
    }

    private TimeSpan Clamp(TimeSpan wanted) =>
        wanted < _options.MinInterval ? _options.MinInterval : wanted > _options.MaxInterval ? _options.MaxInterval : wanted;

    [LoggerMessage(192, LogLevel.Warning, "pool '{Pool}': the name '{Name}' cannot be resolved: {Reason}; {Kept}, and it is tried again")]
    private partial void LogUnresolved(string pool, string name, string reason, string kept);

    [LoggerMessage(193, LogLevel.Information, "pool '{Pool}': the name '{Name}' is resolved again, after {Seconds} s")]
    private partial void LogResolved(string pool, string name, long seconds);
}
