using System.Text;
using LoadBalancer.Transport;

namespace LoadBalancer.Tasks;

/// <summary>A connection of a worker.</summary>
internal sealed class WorkerSession(AcceptedConnection connection, SessionSettings settings, TaskDispatcher dispatcher) : LineSession(connection, settings), IWorkerLink
{
    private Worker? _worker; // once it has registered

    // Who is not listened to while it has not read its tasks may read none before its answers are taken: each would wait for the other.
    /// <inheritdoc/>
    protected override long Due => _worker?.TaskBytes ?? 0;

    /// <inheritdoc/>
    public void Acknowledge(Worker worker) => Writer.Append("ACK|"u8, Encoding.UTF8.GetBytes(worker.Name), "\n"u8);

    /// <inheritdoc/>
    public void Assign(TaskItem task) => Writer.Append(task.Line);

    /// <inheritdoc/>
    public void Close(string reason) => End(reason);

    /// <inheritdoc/>
    protected override void OnLine(ReadOnlySpan<byte> line)
    {
        var said = TaskLine.OfWorker(line);
        switch (said.Kind)
        {
            case TaskLineKind.Register when _worker is null:
                EndProbation();
                _worker = dispatcher.Register(Encoding.UTF8.GetString(said.Id), said.Capacity, Remote, this);
                break;
            case TaskLineKind.Register:
                Repeat(said);
                break;
            case TaskLineKind.Result when _worker is null:
                SendError("a result came before REGISTER");
                break;
            case TaskLineKind.Result:
                if (dispatcher.Answer(_worker, said.Id, said.Data) == AnswerFate.NotTheirs)
                {
                    SendError("this worker has no such task: "u8, said.Id);
                }
                break;
            default:
                SendError(said.Fault);
                break;
        }
    }

    /// <inheritdoc/>
    protected override Task FinishAsync()
    {
        // A worker that can send nothing can do nothing, however long it takes to read what was on its way to it.
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

    private void Repeat(TaskLine said)
    {
        if (said.Capacity == _worker!.Capacity && said.Id.SequenceEqual(Encoding.UTF8.GetBytes(_worker.Name)))
        {
            Acknowledge(_worker);
        }
        else
        {
            SendError($"this connection is that of worker {_worker.Name}, which takes {_worker.Capacity} at once");
        }
    }
}
