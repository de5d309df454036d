namespace LoadBalancer.Broker;

// How it ends, and how another process takes its place.
internal sealed partial class RequestBroker
{
    /// <summary>
    /// Another process serves from now on. A connection of a client ends when it has its answers; one of a worker when it has answered,
    /// nothing waits, and another worker is left for requests that are on their way. They connect again, to the other process.
    /// </summary>
    public void Leave()
    {
        lock (_gate)
        {
            _isLeaving = true;
        }
    }

    /// <summary>
    /// Accepts no more requests: those that wait, and those that come, are answered FAIL. Completes when no worker has a request any more,
    /// or the token is cancelled. After <see cref="Leave"/> those that wait are worked off first, until the token is cancelled.
    /// </summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            _isStopping = true;
            if (_isLeaving)
            {
                _clientStates.ToList().ForEach(EndIfIdleNeedsLock); // One may go meanwhile.
                _workers.Values.ToList().ForEach(EndIfSpareNeedsLock);
            }
            else
            {
                RejectWaitingNeedsLock();
            }
            SetIfIdleNeedsLock();
        }
        await _idle.Task.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (_isLeaving)
        {
            lock (_gate)
            {
                RejectWaitingNeedsLock();
            }
            await Task.WhenAll(Clients.EndAllAsync(), Workers.EndAllAsync());
        }
    }

    // It stops, and no other process takes its place.
    private bool RejectsNeedsLock => _isStopping && !_isLeaving;

    private void SetIfIdleNeedsLock()
    {
        if (_isStopping && _busyWorkers == 0 && _waiting.Count == 0)
        {
            _idle.TrySetResult();
        }
    }

    private void RejectWaitingNeedsLock()
    {
        while (_waiting.First is { Value: var request })
        {
            DequeueNeedsLock(request);
            RejectNeedsLock(request, "the load balancer stops");
        }
    }

    private void EndIfIdleNeedsLock(ClientState client)
    {
        if (client.Waiting.Count == 0 && !_workers.Values.Any(worker => worker.Request?.Client == client))
        {
            client.Peer.End();
        }
    }

    private void EndIfSpareNeedsLock(WorkerState worker)
    {
        if (worker.Request is null && _waiting.Count == 0 && _workers.Count > (_isStopping ? 0 : 1))
        {
            worker.Peer.State = null; // It leaves the pool here.
            _workers.Remove(worker.Backend);
            _pool.ChangeMembers(members => members.Remove(worker.Backend));
            _log.Left(_pool.Name, worker.Backend.Name, worker.Backend.Address);
            worker.Peer.End();
        }
    }
}
