using System.Text.Json.Nodes;
using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Acme;

/// <summary>
/// What the nodes of a cluster have in common of certificates: the files of the store and the answers to authorities are in etcd too,
/// encrypted, and a name is ordered by one node at a time. The files remain what a node works with, so it serves without etcd; this class
/// keeps them and etcd in step, and gives out the turns.
/// </summary>
internal sealed partial class AcmeSharing : IDisposable
{
    private const string OnItsWay = "another node has changed something at this moment";
    private const string SecretText = "LoadBalancer"; // what can be read with the right secret
    private const int Largest = 1024 * 1024; // characters; etcd takes 1.5 MB, and base64 adds a third

    private static readonly TimeSpan LongestSleep = TimeSpan.FromMinutes(1);

    private readonly ClusterOptions _options;
    private readonly AcmeSharingParts _parts;
    private readonly ILogger _logger;
    private readonly ClusterLog _log;
    private readonly Seal _seal;
    private readonly string _prefix;
    private readonly WakeUp _wake;
    private readonly CancellationTokenSource _stop = new();
    private readonly SemaphoreSlim _one = new(1); // guards what follows, and the files while they are compared
    private readonly Dictionary<string, Common> _common = new(StringComparer.Ordinal); // by file
    private readonly Dictionary<string, string> _faults = new(StringComparer.Ordinal); // what was logged last, by what it is about
    private long _secretChanged; // the revision of the key that proves the secret; 0: it is not proved
    private Task _running = Task.CompletedTask;
    private volatile IReadOnlyList<SharedFile> _files = [];

    /// <summary>Reads the secret; nothing is sent yet.</summary>
    /// <param name="options">The cluster, which has a file with the secret.</param>
    /// <param name="parts">What it needs of the node.</param>
    /// <exception cref="StartException">The secret cannot be read.</exception>
    public AcmeSharing(ClusterOptions options, AcmeSharingParts parts)
    {
        (_options, _parts, _logger, _log) = (options, parts, parts.Logger, new ClusterLog(options.Name, parts.Logger));
        var secret = SecretFile.TryRead(options.SecretFile!, out var error) ?? throw new StartException(
            $"LoadBalancer:Cluster:SecretFile '{options.SecretFile}' cannot be read: {error}; put there the file that all nodes of the "
            + "cluster have, readable for the user of this process",
            new IOException(error));
        _seal = new Seal(secret, options.Name);
        _prefix = ClusterNode.PrefixOf(options.Name) + "acme/";
        _wake = new WakeUp(parts.Clock);
        parts.Keys.Changed += OnKeysChanged;
    }

    /// <summary>Called when files of other nodes were taken up, or a name may be ordered that could not before.</summary>
    public event Action? Changed;

    private string SecretKey => _prefix + "secret";

    private string ChallengesPrefix => _prefix + "challenges/";

    /// <summary>Keeps these files in step from now on. Those that are not named any more stay as they are.</summary>
    public void Follow(IEnumerable<AcmeOptions> stores)
    {
        _files = [.. stores.SelectMany(SharedFile.All).DistinctBy(file => file.File)];
        _wake.Set();
    }

    /// <summary>Begins.</summary>
    public void Start()
    {
        _running = RunAsync();
        BackgroundTask.Run(_running, _logger, "sharing certificates with the nodes of the cluster");
    }

    /// <summary>Ends; what was changed here is in etcd, or goes there with the next start.</summary>
    public async Task StopAsync()
    {
        await _stop.CancelAsync();
        await _running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>Looks at once whether a file was changed here.</summary>
    public void Wake() => _wake.Set();

    /// <summary>Makes sure that this node knows all of a name that the cluster does. Then it can judge whether to order.</summary>
    /// <exception cref="IOException">A file cannot be read or written. Others for files are possible too.</exception>
    public async Task<AcmeStep> PrepareAsync(AcmeOptions options, string name, CancellationToken cancellationToken)
    {
        SharedFile[] files = [SharedFile.Account(options), SharedFile.Certificate(options, name), SharedFile.Attempt(options, name)];
        await _one.WaitAsync(cancellationToken);
        try
        {
            var fault = await SyncNeedsTurnAsync(files, mustBeUsable: true, cancellationToken);
            return new AcmeStep(name, files, [.. files.Select(file => _common.GetValueOrDefault(file.File, Common.None).Changed)])
            {
                IsReady = fault is null,
                WhyNot = fault == OnItsWay ? null : fault,
            };
        }
        finally
        {
            _one.Release();
        }
    }

    /// <summary>Takes the turn to order, and notes the attempt for all nodes; both or nothing.</summary>
    /// <param name="step">What was known when it was judged that it is due. Where that is not so any more, there is no turn.</param>
    /// <param name="attempt">The attempt.</param>
    /// <param name="cancellationToken">Gives it up.</param>
    /// <returns>The turn; null where another node has it, or etcd is away: <see cref="AcmeStep.WhyNot"/>.</returns>
    /// <exception cref="IOException">The attempt cannot be written to its file. Others for files are possible too.</exception>
    public async Task<AcmeTurn?> TakeAsync(AcmeStep step, Attempt attempt, CancellationToken cancellationToken)
    {
        var lease = new Lease(_parts.Etcd, _options.LeaseTime, _parts.Clock, _log);
        var isTaken = false;
        await _one.WaitAsync(cancellationToken);
        try
        {
            await lease.RenewAsync(cancellationToken);
            step.WhyNot = lease.Error;
            isTaken = lease.IsSafe && await TryTakeNeedsTurnAsync(step, attempt.ToText(), lease.Id, cancellationToken);
        }
        catch (EtcdException e)
        {
            step.WhyNot = e.Message;
        }
        finally
        {
            _one.Release();
            if (!isTaken)
            {
                await lease.RevokeAsync(); // The answer may be lost: nobody is to wait for a turn that is not used.
                lease.Dispose();
            }
        }
        return isTaken ? new AcmeTurn(lease, (token, answer) => PublishAsync(lease.Id, token, answer), FlushAsync, _logger) : null;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _parts.Keys.Changed -= OnKeysChanged;
        _stop.Cancel();
    }

    private async Task<bool> TryTakeNeedsTurnAsync(AcmeStep step, string attempt, long lease, CancellationToken cancellationToken)
    {
        var turn = $"{_prefix}turns/{Path.GetFileName(step.Files[0].Options.Folder)}/{step.Name}";
        var (file, holder) = (step.Files[^1], JsonText.Of(new JsonObject { ["node"] = _options.NodeName }));
        var answer = await _parts.Etcd.TransactAsync(
            [
                EtcdCondition.IsAbsent(turn), EtcdCondition.IsChangedAt(SecretKey, _secretChanged),
                .. step.Files.Zip(step.Revisions, (known, revision) => EtcdCondition.IsChangedAt(KeyOf(known), revision)),
            ],
            [EtcdChange.Put(turn, holder, lease), EtcdChange.Put(KeyOf(file), _seal.Close(KeyOf(file), attempt))], null, cancellationToken);
        if (answer.Succeeded)
        {
            file.TakeUp(attempt);
            _common[file.File] = new Common(attempt, answer.Header.Revision);
        }
        return answer.Succeeded;
    }

    // The others have it some milliseconds later, and the authority may ask any of them.
    private async Task PublishAsync(long lease, string token, string answer)
    {
        var key = ChallengesPrefix + token;
        try
        {
            await _parts.Etcd.TransactAsync([], [EtcdChange.Put(key, _seal.Close(key, answer), lease)], null, _stop.Token);
            await Task.Delay(_options.LeaseTime / 10, _parts.Clock, _stop.Token);
        }
        catch (Exception e) when (e is EtcdException or OperationCanceledException)
        {
            // This node answers all the same. Where the authority asks another one, the order fails, and is made again later.
        }
    }

    private async Task FlushAsync()
    {
        await _one.WaitAsync();
        try
        {
            await SyncNeedsTurnAsync(_files, mustBeUsable: false, CancellationToken.None);
        }
        finally
        {
            _one.Release();
        }
    }

    private async Task RunAsync()
    {
        while (true)
        {
            try
            {
                await FlushAsync();
                Changed?.Invoke();
            }
            catch (Exception e)
            {
                _log.Unexpected(e, "sharing certificates"); // The loop goes on: without it nothing would be shared any more.
            }
            await _wake.WaitAsync(LongestSleep, _stop.Token);
        }
    }

    private void OnKeysChanged(KeyChange change)
    {
        var (before, now) = (Ours(change.Before), Ours(change.Now));
        if (change.IsRestored)
        {
            Interlocked.Exchange(ref _isRestored, 1);
        }
        if (change.IsRead || !before.SequenceEqual(now))
        {
            _parts.Challenges.Share(now.Where(key => key.Key.StartsWith(ChallengesPrefix, StringComparison.Ordinal))
                .Select(key => (Token: key.Key[ChallengesPrefix.Length..], Answer: _seal.TryOpen(key.Key, key.Value)))
                .Where(entry => entry.Answer is not null && Challenges.IsToken(entry.Token))
                .ToDictionary(entry => entry.Token, entry => entry.Answer!, StringComparer.Ordinal));
            _wake.Set();
        }
    }

    private List<EtcdKey> Ours(KeySnapshot keys) =>
        [.. keys.Keys.Values.Where(key => key.Key.StartsWith(_prefix, StringComparison.Ordinal))];

    private string KeyOf(SharedFile file) => $"{_prefix}store/{file.Key}";
}
