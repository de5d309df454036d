namespace LoadBalancer.Cluster;

/// <summary>Writes one that is new.</summary>
internal sealed partial class ConfigurationKeeper
{
    /// <summary>How many are remembered.</summary>
    public const int Remembered = 50;

    // All nodes read all keys of the cluster in one answer.
    private const int LongestHistory = 4 * 1024 * 1024; // characters

    private const int MostDeleted = 100; // etcd takes 128 changes in one transaction

    /// <summary>
    /// Pushes a configuration, which must be valid, to all nodes. Returns when this node's watch has told it; the node may still be about
    /// to use it then.
    /// </summary>
    /// <param name="text">Its text.</param>
    /// <param name="user">Who pushes it.</param>
    /// <param name="rollbackOf">The number of the one that it repeats; null where it is a new one.</param>
    public async Task<PushResult> PushAsync(string text, string user, long? rollbackOf)
    {
        if ((WhyNot() ?? WhyNotYet()) is { } reason)
        {
            return new PushResult(null, $"{reason}; nothing was pushed");
        }
        using var late = new CancellationTokenSource(SharedKeeper.LongestChange, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, _stopped.Token);
        var (pushed, known, changed, old) = Next(text, user, rollbackOf);
        var (mark, value) = (pushed.Mark, pushed.ToText());
        var mayBeDone = false; // it was sent, and there was no answer
        var trouble = "etcd has not answered";
        try
        {
            while (true)
            {
                try
                {
                    var answer = await _etcd.TransactAsync(
                        [EtcdCondition.IsChangedAt(_prefix + LastName, changed)],
                        [.. PutsOf(pushed, value), .. old.Select(EtcdChange.Delete)], _prefix + LastName, either.Token);
                    if (answer.Succeeded || answer.Key?.Value == mark.ToText())
                    {
                        trouble = "etcd has it, but this node's watch has not told it";
                        await _told.WaitAsync(answer.Succeeded ? answer.Header.Revision : answer.Key!.Changed).WaitAsync(either.Token);
                        return new PushResult(mark, null);
                    }
                    var other = answer.Key is { } key ? PushedConfiguration.TryReadMark(key.Value) : null;
                    if (other is not null && other == known && !mayBeDone)
                    {
                        changed = answer.Key!.Changed; // It was only written again.
                        continue;
                    }
                    return mayBeDone
                        ? new PushResult(null, $"etcd has not said whether it was pushed ({trouble}), and {Name(other)} is there now; "
                            + "look at the history")
                        : new PushResult(null, $"{Name(other)} came first; look at it, and push again") { IsConflict = true };
                }
                catch (EtcdException e)
                {
                    trouble = e.Message;
                    mayBeDone |= e.MayHaveHappened;
                    await Task.Delay(Pause / 10, _time, either.Token);
                }
            }
        }
        catch (OperationCanceledException)
        {
            return new PushResult(null, $"the configuration was not taken up within {SharedKeeper.LongestChange.TotalSeconds} s "
                + $"({trouble}): it may be pushed, or not; look at the history later");
        }

        static string Name(PushedMark? mark) => mark is null ? "something else" : $"{mark}";
    }

    private string? WhyNotYet()
    {
        lock (_gate)
        {
            return _isRead ? null : "this node does not know yet what is in etcd";
        }
    }

    // The next one, on top of what is known, and the keys of those that are not remembered any more then.
    private (PushedConfiguration Pushed, PushedMark? Known, long Changed, List<string> Old) Next(string text, string user, long? rollbackOf)
    {
        lock (_gate)
        {
            var history = HistoryNeedsLock().OrderByDescending(entry => entry.Number).ToList();
            var number = Math.Max(_known?.Mark.Number ?? 0, history.Count > 0 ? history[0].Number : 0) + 1;
            var (now, after) = (_time.GetUtcNow(), (_known?.Mark.Time ?? DateTimeOffset.MinValue).AddTicks(1));
            var mark = new PushedMark(number, now > after ? now : after, _node, user, rollbackOf);
            var length = 0L;
            var old = history.Where((entry, i) => (length += entry.Key.Value.Length) > LongestHistory || i >= Remembered - 1)
                .TakeLast(MostDeleted).Select(entry => entry.Key.Key);
            return (new PushedConfiguration(mark, text), _known?.Mark, _changed, [.. old]);
        }
    }
}

/// <summary>What became of a configuration that was to be pushed.</summary>
/// <param name="Mark">What is known of it; null where it was not pushed, or that is not known.</param>
/// <param name="Error">Why.</param>
internal sealed record PushResult(PushedMark? Mark, string? Error)
{
    /// <summary>Whether another one came first.</summary>
    public bool IsConflict { get; init; }
}
