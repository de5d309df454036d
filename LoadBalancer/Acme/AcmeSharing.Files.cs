using LoadBalancer.Cluster;

namespace LoadBalancer.Acme;

/// <summary>How the files of the store and etcd are kept in step.</summary>
internal sealed partial class AcmeSharing
{
    private int _isRestored; // 1: etcd has lost changes, and revisions that were known mean nothing

    /// <returns>Why they are not in step; null where they are.</returns>
    /// <param name="files">The files.</param>
    /// <param name="mustBeUsable">Whether a file that cannot be used is an exception, and not only a line of the log.</param>
    /// <param name="cancellationToken">Gives it up.</param>
    private async Task<string?> SyncNeedsTurnAsync(
        IEnumerable<SharedFile> files, bool mustBeUsable, CancellationToken cancellationToken)
    {
        if (!_parts.Keys.IsLive)
        {
            return "etcd is away";
        }
        if (Interlocked.Exchange(ref _isRestored, 0) == 1)
        {
            _common.Clear();
            _secretChanged = 0;
        }
        string? fault = null;
        try
        {
            fault = await ProveSecretNeedsTurnAsync(cancellationToken);
            if (fault is not null)
            {
                return fault;
            }
            foreach (var file in files)
            {
                try
                {
                    fault = await SyncNeedsTurnAsync(file, cancellationToken) ?? fault;
                    _faults.Remove(file.File);
                }
                catch (Exception e) when (AcmeStore.IsFault(e) && !mustBeUsable)
                {
                    Tell(file.File, e.Message, reason => LogFile(_options.Name, file.File, reason));
                }
            }
            _faults.Remove("etcd");
            return fault;
        }
        catch (EtcdException e)
        {
            if (!e.IsOfEndpoint)
            {
                Tell("etcd", e.Message, reason => LogRefused(_options.Name, reason));
            }
            return e.Message;
        }
    }

    // The first node decides which secret is right; another one must not write what the others cannot read.
    private async Task<string?> ProveSecretNeedsTurnAsync(CancellationToken cancellationToken)
    {
        var keys = _parts.Keys.Current;
        if (keys.Revision < _secretChanged)
        {
            return null; // The watch has not told yet what this node has written.
        }
        if (keys.Keys.GetValueOrDefault(SecretKey) is not { } known)
        {
            var answer = await _parts.Etcd.TransactAsync(
                [EtcdCondition.IsAbsent(SecretKey)], [EtcdChange.Put(SecretKey, _seal.Close(SecretKey, SecretText))], null,
                cancellationToken);
            _secretChanged = answer.Succeeded ? answer.Header.Revision : 0;
            return answer.Succeeded ? null : OnItsWay;
        }
        if (_seal.TryOpen(SecretKey, known.Value) == SecretText)
        {
            _secretChanged = known.Changed;
            _faults.Remove("secret");
            return null;
        }
        _secretChanged = 0;
        Tell("secret", _options.SecretFile!, file => LogWrongSecret(_options.Name, file));
        return "the secret of this node is not that of the cluster";
    }

    private async Task<string?> SyncNeedsTurnAsync(SharedFile file, CancellationToken cancellationToken)
    {
        var (key, keys, common) = (KeyOf(file), _parts.Keys.Current, _common.GetValueOrDefault(file.File, Common.None));
        if (keys.Revision < common.Changed)
        {
            return null; // As above.
        }
        var known = keys.Keys.GetValueOrDefault(key);
        var others = known is null ? null : _seal.TryOpen(key, known.Value);
        if (known is not null && others is null)
        {
            Tell(key, key, unreadable => LogUnreadable(_options.Name, unreadable));
            return $"the value of {key} in etcd cannot be decrypted";
        }
        _faults.Remove(key);
        var own = AcmeStore.TryRead(file.File);
        if (own is { Length: <= Largest } && own != others && file.IsOwn(own, others, common.Text, _parts.Time.GetUtcNow()))
        {
            var answer = await _parts.Etcd.TransactAsync(
                [EtcdCondition.IsChangedAt(key, known?.Changed ?? 0), EtcdCondition.IsChangedAt(SecretKey, _secretChanged)],
                [EtcdChange.Put(key, _seal.Close(key, own))], null, cancellationToken);
            if (!answer.Succeeded)
            {
                return OnItsWay;
            }
            _common[file.File] = new Common(own, answer.Header.Revision);
            return null;
        }
        // What an operator has removed here is not brought back while the process runs: another one is wanted.
        if (others is not null && own != others && !(own is null && others == common.Text))
        {
            file.TakeUp(others);
        }
        _common[file.File] = new Common(others, known?.Changed ?? 0);
        return null;
    }

    private void Tell(string about, string fault, Action<string> log)
    {
        if (_faults.GetValueOrDefault(about) != fault)
        {
            _faults[about] = fault;
            log(fault);
        }
    }

    [LoggerMessage(228, LogLevel.Error,
        "cluster '{Cluster}': the secret in '{File}' (LoadBalancer:Cluster:SecretFile) is not the one with which certificates in etcd are "
        + "encrypted. This node serves what it has, and orders nothing; give it the file of the other nodes, and restart it")]
    private partial void LogWrongSecret(string cluster, string file);

    [LoggerMessage(229, LogLevel.Error,
        "cluster '{Cluster}': the value of {Key} in etcd cannot be decrypted: something else has written it. What this node has stays in "
        + "use, and it orders nothing for that; delete the key, and a node writes it anew")]
    private partial void LogUnreadable(string cluster, string key);

    [LoggerMessage(230, LogLevel.Warning,
        "cluster '{Cluster}': '{File}' cannot be read or written: {Reason}. What other nodes have of it is not taken up here until it can")]
    private partial void LogFile(string cluster, string file, string reason);

    [LoggerMessage(231, LogLevel.Warning, "cluster '{Cluster}': certificates cannot be written to etcd: {Reason}")]
    private partial void LogRefused(string cluster, string reason);

    /// <summary>What a file and its key have had in common last.</summary>
    /// <param name="Text">The text; null: neither was there.</param>
    /// <param name="Changed">The revision of the key; 0: it was not there.</param>
    private sealed record Common(string? Text, long Changed)
    {
        public static Common None { get; } = new(null, 0);
    }
}
