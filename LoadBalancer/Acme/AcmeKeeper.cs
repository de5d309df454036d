using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Acme;

/// <summary>
/// Keeps the certificates that a node gets by itself: one for each name of each directory and store, whichever listeners use it. It only
/// writes files; the listeners take them up as they do with those of administrators. A name that is no longer configured keeps its files.
/// </summary>
internal sealed class AcmeKeeper : IHostedService, IDisposable
{
    private readonly Challenges _challenges;
    private readonly ILogger _logger;
    private readonly AcmeSharing? _sharing;
    private readonly KeptNameParts _parts;
    private readonly Lock _gate = new(); // guards what follows
    private readonly Dictionary<string, AuthorityTurns> _turns = new(StringComparer.Ordinal); // by the folder in the store
    private readonly Dictionary<string, Running> _running = new(StringComparer.Ordinal); // by the certificate's file
    private readonly Dictionary<string, Task> _leaving = new(StringComparer.Ordinal); // by the same
    private IReadOnlyList<KeptName> _wanted = [];
    private bool _isRunning;

    /// <summary>Makes the keeper; it does nothing before it is started.</summary>
    /// <param name="challenges">Answers the authorities' questions.</param>
    /// <param name="note">Tells operators of a change.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Gets a line for each change.</param>
    /// <param name="sharing">What the nodes of the cluster have in common; starts and stops with this. Null where it is alone.</param>
    public AcmeKeeper(Challenges challenges, Action<string> note, TimeProvider time, ILogger<AcmeKeeper> logger, AcmeSharing? sharing)
    {
        (_challenges, _logger, _sharing) = (challenges, logger, sharing);
        _parts = new KeptNameParts(challenges, note, time, logger, sharing);
        if (sharing is not null)
        {
            sharing.Changed += Wake;
        }
    }

    /// <summary>Whether any listener gets certificates by itself.</summary>
    public static bool IsNeeded(LoadBalancerOptions options) => All(options).Any();

    /// <summary>Begins with names that are new, and leaves those that are gone.</summary>
    public void Apply(LoadBalancerOptions options)
    {
        lock (_gate)
        {
            _wanted = [.. from acme in All(options) from name in acme.DnsNames select NewNameNeedsLock(name, acme)];
            RunNeedsLock();
        }
        _sharing?.Follow(All(options));
        Wake(); // Somebody may have removed a file, so that it is made anew.
    }

    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            _isRunning = true;
            RunNeedsLock();
        }
        _sharing?.Start();
        return Task.CompletedTask;
    }

    /// <summary>
    /// What the process that replaces this one must answer. From now on nothing is ordered here; orders in work are given up. Their answers
    /// stay in both processes, because the authority may ask either of them.
    /// </summary>
    public Dictionary<string, string> HandOver()
    {
        lock (_gate)
        {
            var answers = _challenges.HandOver();
            _isRunning = false;
            RunNeedsLock();
            return answers;
        }
    }

    /// <summary>Goes on: no other process has taken over.</summary>
    public void GoOn()
    {
        lock (_gate)
        {
            _challenges.GoOn();
            _isRunning = true;
            RunNeedsLock();
        }
    }

    /// <summary>Ends what is in work; another process, or the next one, goes on with what is in the store.</summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        Task[] ending;
        lock (_gate)
        {
            _wanted = [];
            RunNeedsLock();
            ending = [.. _leaving.Values];
        }
        await Task.WhenAll(ending).WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await (_sharing?.StopAsync() ?? Task.CompletedTask);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _wanted = [];
            RunNeedsLock();
        }
        _sharing?.Dispose();
    }

    private static IEnumerable<AcmeOptions> All(LoadBalancerOptions options) =>
        options.Listeners.Values.OfType<ITlsOptions>().Select(listener => listener.Acme).OfType<AcmeOptions>();

    private void Wake()
    {
        lock (_gate)
        {
            _running.Values.ToList().ForEach(running => running.Kept.Wake());
        }
    }

    private KeptName NewNameNeedsLock(string name, AcmeOptions acme)
    {
        var folder = Path.GetFullPath(acme.Folder);
        if (!_turns.TryGetValue(folder, out var turns))
        {
            _turns[folder] = turns = new AuthorityTurns();
        }
        return new KeptName(name, acme, turns, _parts);
    }

    private void RunNeedsLock()
    {
        var wanted = (_isRunning ? _wanted : []).GroupBy(kept => Path.GetFullPath(kept.Options.FileOf(kept.Name)), StringComparer.Ordinal)
            .ToDictionary(group => group.Key, group => group.First(), StringComparer.Ordinal);
        foreach (var file in _leaving.Where(entry => entry.Value.IsCompleted).Select(entry => entry.Key).ToList())
        {
            _leaving.Remove(file);
        }
        var leaving = _running.Where(entry => !wanted.TryGetValue(entry.Key, out var kept) || !IsSame(kept, entry.Value.Kept)).ToList();
        foreach (var (file, gone) in leaving)
        {
            _running.Remove(file);
            _leaving[file] = gone.Task;
            BackgroundTask.Run(gone.Stop.CancelAsync(), _logger, $"certificate of '{gone.Kept.Name}': the end of keeping it");
        }
        foreach (var (file, kept) in wanted.Where(entry => !_running.ContainsKey(entry.Key)))
        {
            var stop = new CancellationTokenSource();
            var before = _leaving.GetValueOrDefault(file, Task.CompletedTask);
            var task = Task.Run(() => RunAsync(kept, before, stop.Token));
            _running[file] = new Running(kept, stop, task);
            BackgroundTask.Run(task, _logger, $"certificate of '{kept.Name}': keeping it");
        }
    }

    // Two must not write the same files at once.
    private static async Task RunAsync(KeptName kept, Task before, CancellationToken cancellationToken)
    {
        await before.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await kept.RunAsync(cancellationToken);
    }

    private static bool IsSame(KeptName one, KeptName other) => (one.Options.Directory, one.Options.Email, one.Options.AuthorityFile)
        == (other.Options.Directory, other.Options.Email, other.Options.AuthorityFile);

    private sealed record Running(KeptName Kept, CancellationTokenSource Stop, Task Task);
}
