using System.Text;
using LoadBalancer.Transport;

namespace LoadBalancer.Tasks;

/// <summary>A connection of a worker.</summary>
internal sealed class WorkerSession(AcceptedConnection connection, SessionSettings settings, TaskDispatcher dispatcher)
    : LineSession(connection, settings), IWorkerLink
{
    private const int MostUnread = 1024 * 1024; // bytes of tasks

    private Worker? _worker; // null until it has registered

    // Without this allowance both sides could wait for each other: we read no results while the worker has not read its tasks, and a worker
    // may read no task while we have not read its results.
    /// <inheritdoc/>
    protected override long ExtraAllowance => _worker?.TaskBytes ?? 0;

    /// <inheritdoc/>
    bool IWorkerLink.IsBroken => IsBroken;

    /// <inheritdoc/>
    public void Acknowledge(Worker worker) => SendOwn("ACK|"u8, Encoding.UTF8.GetBytes(worker.Name), "\n"u8);

    /// <inheritdoc/>
    public void Assign(TaskItem task) => Writer.Append(task.Line);

    /// <inheritdoc/>
    public Task WhenReadAsync() => Writer.Unsent > MostUnread ? Writer.DrainAsync() : Task.CompletedTask;

    /// <inheritdoc/>
    public void Close(string reason) => End(reason);

    /// <inheritdoc/>
    public void LetGo(string reason) => End(reason, isError: false);

    /// <inheritdoc/>
    protected override bool TryHandle(ReadOnlySpan<byte> line)
    {
        var message = TaskLine.OfWorker(line);
        switch (message.Kind)
        {
            case TaskLineKind.Register when _worker is null:
                StopFirstLineTimeout();
                _worker = dispatcher.Register(Encoding.UTF8.GetString(message.Id), message.Capacity, Remote, this);
                return true;
            case TaskLineKind.Register:
                return TryRepeat(message);
            case TaskLineKind.Result when _worker is null:
                SendError("a result came before REGISTER");
                return false;
            case TaskLineKind.Result:
                // The task may be one of an earlier connection: a worker that comes again may have many of them.
                if (dispatcher.Answer(_worker, message.Id, message.Data) == AnswerFate.UnknownTask)
                {
                    SendError("this worker has no such task: "u8, message.Id);
                }
                return true;
            default:
                SendError(message.Error);
                return false;
        }
    }

    /// <inheritdoc/>
    protected override Task FinishAsync()
    {
        // A worker that sends nothing more can finish no task, whatever it still reads.
        OnGone("it has ended its sending half");
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    protected override void OnGone(string reason)
    {
        if (_worker is not null)
        {
            dispatcher.Unregister(_worker, reason);
        }
    }

    private bool TryRepeat(TaskLine message)
    {
        if (message.Capacity == _worker!.Capacity && message.Id.SequenceEqual(Encoding.UTF8.GetBytes(_worker.Name)))
        {
            Acknowledge(_worker);
            return true;
        }
        SendError($"this connection is that of worker {_worker.Name}, which takes {_worker.Capacity} at once");
        return false;
    }
}
