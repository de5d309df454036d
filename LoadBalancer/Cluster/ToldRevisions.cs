namespace LoadBalancer.Cluster;

/// <summary>Lets those who have written something wait until this node has taken up what the watch tells of it. Thread-safe.</summary>
internal sealed class ToldRevisions
{
    private readonly Lock _gate = new();
    private readonly List<(long Revision, TaskCompletionSource Told)> _waiting = [];
    private long _last; // 0: none was taken up

    /// <summary>A revision was taken up, and all before it. It is lower than the last one where etcd was restored.</summary>
    public void Tell(long revision)
    {
        List<TaskCompletionSource> told;
        lock (_gate)
        {
            _last = revision;
            told = [.. _waiting.Where(waiting => waiting.Revision <= revision).Select(waiting => waiting.Told)];
            _waiting.RemoveAll(waiting => waiting.Revision <= revision);
        }
        told.ForEach(one => one.TrySetResult());
    }

    /// <summary>Completes when this revision was taken up.</summary>
    public Task WaitAsync(long revision)
    {
        lock (_gate)
        {
            if (_last >= revision)
            {
                return Task.CompletedTask;
            }
            var told = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiting.Add((revision, told));
            return told.Task;
        }
    }
}
