using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Acme;

/// <summary>
/// Keeps the certificates that a node gets by itself: one for each name of each directory and store, whichever listeners use it. It only
/// writes files; the listeners take them up as they do with those of administrators. A name that is no longer configured keeps its files.
/// </summary>
internal sealed class AcmeKeeper : IHostedService, IDisposable
{
    private const int MostOrders = 4; // at once: an authority may look at a name for minutes

    private readonly ILogger _logger;
    private readonly KeptNameParts _parts;
    private readonly SemaphoreSlim _turns = new(MostOrders);
    private readonly SemaphoreSlim _registering = new(1);
    private readonly Lock _gate = new(); // guards what follows
    private readonly Dictionary<string, Running> _running = new(StringComparer.Ordinal); // by the certificate's file
    private IReadOnlyList<KeptName> _wanted = [];
    private bool _isStarted;

    /// <summary>Makes the keeper; it does nothing before it is started.</summary>
    /// <param name="challenges">Answers the authorities' questions.</param>
    /// <param name="note">Tells operators of a change.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Gets a line for each change.</param>
    public AcmeKeeper(Challenges challenges, Action<string> note, TimeProvider time, ILogger<AcmeKeeper> logger)
    {
        _logger = logger;
        _parts = new KeptNameParts(challenges, note, _turns, _registering, time, logger);
    }

    /// <summary>Whether any listener gets certificates by itself.</summary>
    public static bool IsNeeded(LoadBalancerOptions options) => All(options).Any();

    /// <summary>Begins with names that are new, and leaves those that are gone.</summary>
    public void Apply(LoadBalancerOptions options)
    {
        lock (_gate)
        {
            _wanted = [.. from acme in All(options) from name in acme.DnsNames select new KeptName(name, acme, _parts)];
            if (_isStarted)
            {
                RunWantedNeedsLock();
            }
        }
    }

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            _isStarted = true;
            RunWantedNeedsLock();
        }
        return Task.CompletedTask;
    }

    /// <summary>Ends what is in work; another process, or the next one, goes on with what is in the store.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        Task[] ending;
        lock (_gate)
        {
            (_isStarted, _wanted) = (false, []);
            ending = [.. _running.Values.Select(running => running.Task)];
            RunWantedNeedsLock();
        }
        await Task.WhenAll(ending).WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            (_isStarted, _wanted) = (false, []);
            RunWantedNeedsLock();
        }
    }

    private static IEnumerable<AcmeOptions> All(LoadBalancerOptions options) =>
        options.Listeners.Values.OfType<ITlsOptions>().Select(listener => listener.Acme).OfType<AcmeOptions>();

    private void RunWantedNeedsLock()
    {
        var wanted = _wanted.GroupBy(kept => Path.GetFullPath(kept.Options.FileOf(kept.Name)), StringComparer.Ordinal)
            .ToDictionary(group => group.Key, group => group.First(), StringComparer.Ordinal);
        var leaving = _running.Where(entry => !wanted.TryGetValue(entry.Key, out var kept) || !IsSame(kept, entry.Value.Kept)).ToList();
        foreach (var (file, gone) in leaving)
        {
            _running.Remove(file);
            BackgroundTask.Run(gone.Stop.CancelAsync(), _logger, $"certificate of '{gone.Kept.Name}': the end of keeping it");
        }
        foreach (var (file, kept) in wanted.Where(entry => !_running.ContainsKey(entry.Key)))
        {
            var stop = new CancellationTokenSource();
            var task = Task.Run(() => kept.RunAsync(stop.Token));
            _running[file] = new Running(kept, stop, task);
            BackgroundTask.Run(task, _logger, $"certificate of '{kept.Name}': keeping it");
        }
    }

    private static bool IsSame(KeptName one, KeptName other) =>
        (one.Options.Email, one.Options.AuthorityFile) == (other.Options.Email, other.Options.AuthorityFile);

    private sealed record Running(KeptName Kept, CancellationTokenSource Stop, Task Task);
}
