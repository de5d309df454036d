using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Broker;

/// <summary>
/// Hands clients' requests to workers and their answers back. Workers are backends of a pool that join by connecting and have one
/// request each at the most; while none is free requests wait, first come first served.
/// <para>
/// A request whose client goes away while it waits is forgotten. One that a worker is at when the worker's connection drops goes to
/// another worker, before all that wait, where doing it twice does no harm; else nobody is told, and the client decides.
/// </para>
/// </summary>
internal sealed class RequestBroker : IAsyncDisposable
{
    /// <summary>The longest request, in bytes of all its frames: as many as may wait, of that size, are no danger to the machine.</summary>
    public const int LongestRequest = 64 * 1024;

    // One that has cost so many workers their connections is more likely the cause than the victim.
    private const int MostAttempts = 5;

    private static readonly ZmtpMessage Fail = ZmtpMessage.Of("FAIL");

    private readonly string _listener;
    private readonly BackendPool _pool;
    private readonly TimeProvider _time;
    private readonly ErrorStatistics _errors;
    private readonly BrokerLog _log;
    private readonly Refusals _refusals;
    private readonly Lock _gate = new(); // of what follows, and of what clients and workers keep
    private readonly LinkedList<Request> _waiting = new();
    private readonly Dictionary<Backend, WorkerState> _workers = [];
    private readonly TaskCompletionSource _idle = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _atWork;
    private int _clients;
    private bool _isDispatching;
    private bool _isStopping;

    /// <summary>Makes it; it serves from when its sockets are bound.</summary>
    public RequestBroker(string listener, BackendPool pool, int queueLimit, BrokerLog log, Refusals refusals, ZmtpLimits limits, ErrorStatistics errors, TimeProvider time)
    {
        (_listener, _pool, QueueLimit, _log, _refusals, _errors, _time) = (listener, pool, queueLimit, log, refusals, errors, time);
        Clients = new PeerSocket(ZmtpSocketType.Router, limits with { FrameBytes = LongestRequest, MessageBytes = LongestRequest }, time)
        {
            Connected = OnClient,
            Received = OnRequest,
            Disconnected = OnClientGone,
            Faulted = refusals.At(nameof(BrokerPorts.Clients)),
            Logger = log.Logger,
        };
        Workers = new PeerSocket(ZmtpSocketType.Dealer, limits, time)
        {
            Connected = OnWorker,
            Received = OnAnswer,
            Disconnected = OnWorkerGone,
            Faulted = refusals.At(nameof(BrokerPorts.Workers)),
            Logger = log.Logger,
        };
        _pool.SnapshotChanged += OnPoolChanged;
    }

    /// <summary>How many requests may wait.</summary>
    public int QueueLimit { get; set; }

    /// <summary>Where clients connect.</summary>
    public PeerSocket Clients { get; }

    /// <summary>Where workers connect.</summary>
    public PeerSocket Workers { get; }

    /// <summary>How many clients are connected.</summary>
    public int ClientCount => Volatile.Read(ref _clients);

    /// <summary>How many workers are.</summary>
    public int WorkerCount
    {
        get
        {
            lock (_gate)
            {
                return _workers.Count;
            }
        }
    }

    /// <summary>How many requests wait.</summary>
    public int WaitingCount
    {
        get
        {
            lock (_gate)
            {
                return _waiting.Count;
            }
        }
    }

    /// <summary>
    /// Takes nothing new: what waits, and what comes, is answered FAIL. Completes when no worker is at anything any more, or the token
    /// is cancelled.
    /// </summary>
    public async Task StopAsync(CancellationToken cancellationToken)
    {
        lock (_gate)
        {
            _isStopping = true;
            while (_waiting.First is { Value: var request })
            {
                Withdraw(request);
                Refuse(request, "the load balancer stops");
            }
            if (_atWork == 0)
            {
                _idle.TrySetResult();
            }
        }
        await _idle.Task.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _pool.SnapshotChanged -= OnPoolChanged;
        lock (_gate)
        {
            _isStopping = true;
            _isDispatching = true; // Never again.
        }
        await Clients.DisposeAsync();
        await Workers.DisposeAsync();
    }

    // ---- Clients -------------------------------------------------------------------------------------------------------------------

    private void OnClient(ZmtpPeer peer)
    {
        peer.State = new ClientState(peer);
        Interlocked.Increment(ref _clients);
    }

    private void OnClientGone(ZmtpPeer peer)
    {
        Interlocked.Decrement(ref _clients);
        lock (_gate)
        {
            foreach (var request in ((ClientState)peer.State!).Waiting.ToList())
            {
                Withdraw(request);
            }
        }
    }

    private void OnRequest(ZmtpPeer peer, ZmtpMessage message)
    {
        var client = (ClientState)peer.State!;
        if (Request.TryRead(client, message, _time.GetTimestamp()) is not { } request)
        {
            _refusals.Count(nameof(BrokerPorts.Clients), Refusals.NotARequest);
            peer.Send(message.TryOpen(out var envelope, out _) ? envelope : ZmtpEnvelope.Empty, Fail);
            return;
        }
        lock (_gate)
        {
            client.HasAsked = true;
            if (peer.Type == ZmtpSocketType.Req)
            {
                // One that asks before it was answered (ZMQ_REQ_RELAXED) has given the first question up.
                if (client.Open is { Place: not null } before)
                {
                    Withdraw(before);
                }
                client.Open = request;
            }
            if (_isStopping)
            {
                Refuse(request, "the load balancer stops");
            }
            else if (_waiting.Count > 0 || !TryHand(request))
            {
                Enqueue(request);
            }
        }
    }

    private void Enqueue(Request request)
    {
        if (_waiting.Count >= QueueLimit)
        {
            _pool.Statistics.CountQueueRefusal();
            Refuse(request, $"{QueueLimit} requests wait already (QueueLimit)");
            return;
        }
        request.Place = _waiting.AddLast(request);
        request.Client.Waiting.Add(request);
    }

    // Takes it out of the queue.
    private void Withdraw(Request request)
    {
        _waiting.Remove(request.Place!);
        request.Place = null;
        request.Client.Waiting.Remove(request);
    }

    private void Refuse(Request request, string cause)
    {
        var elapsed = _time.GetElapsedTime(request.Arrived);
        _pool.Statistics.CountOwnAnswer(StatusCodes.Status503ServiceUnavailable, elapsed, elapsed);
        _errors.Add(StatusCodes.Status503ServiceUnavailable, $"listener '{_listener}'", null, null, cause);
        Reply(request, Fail);
    }

    // To where its client is now. One that has come back, and has asked something since, is not told of what it asked before.
    private void Reply(Request request, in ZmtpMessage answer)
    {
        var client = request.Client;
        if (client.Peer.IsClosed)
        {
            if (Clients.Find(client.Peer.Identity.Span)?.State is not ClientState now || (now.HasAsked && now.Peer.Type == ZmtpSocketType.Req))
            {
                return;
            }
            client = now;
        }
        else if (client.Peer.Type == ZmtpSocketType.Req)
        {
            if (client.Open != request)
            {
                return;
            }
            client.Open = null;
        }
        client.Peer.Send(request.Envelope, answer);
    }

    // ---- Workers -------------------------------------------------------------------------------------------------------------------

    private void OnWorker(ZmtpPeer peer)
    {
        var remote = (IPEndPoint)peer.Remote!;
        var ip = remote.Address.Unmap();
        WorkerState? worker = null;
        lock (_gate)
        {
            try
            {
                _pool.ChangeMembers(members =>
                {
                    // The lowest number that is free: names, and with them what is measured by name, do not grow in number with each restart.
                    var names = members.Select(member => member.Name).ToHashSet();
                    var name = Enumerable.Range(1, members.Length + 1).Select(number => $"worker-{number}").First(name => !names.Contains(name));
                    var backend = new Backend(name, new EndpointAddress("tcp", ip.ToString(), remote.Port), new BackendHealth(new HealthRules(), _time), maxInFlight: 1);
                    peer.State = worker = new WorkerState(peer, backend);
                    _workers.Add(backend, worker);
                    return members.Add(backend);
                });
            }
            catch (InvalidOperationException) // The pool is full. OnWorkerGone would have nobody to take out.
            {
                _workers.Remove(worker!.Backend);
                peer.State = null;
                peer.Close();
                return;
            }
        }
        _log.Joined(_pool.Name, worker!.Backend.Name, worker.Backend.Address);
    }

    private void OnAnswer(ZmtpPeer peer, ZmtpMessage message)
    {
        var worker = (WorkerState)peer.State!;
        lock (_gate)
        {
            if (worker is not { Request: { } request, Lease: { } lease } || !message.TryOpen(out _, out var answer) || answer.Count != 1)
            {
                // It has lost count of what it was asked: nothing it says from here on can be trusted to be an answer to anything.
                _refusals.Count(nameof(BrokerPorts.Workers), Refusals.NotAnAnswer);
                _log.Misplaced(_pool.Name, worker.Backend.Name);
                peer.Close();
                return;
            }
            (worker.Request, worker.Lease) = (null, null);
            _atWork--;
            lease.CountAnswer(StatusCodes.Status200OK, lease.ObserveResponse(), _time.GetElapsedTime(request.Arrived));
            Reply(request, answer);
            lease.Complete(AttemptOutcome.Succeeded);
            Dispatch();
        }
    }

    private void OnWorkerGone(ZmtpPeer peer)
    {
        if (peer.State is not WorkerState worker)
        {
            return; // It could not join.
        }
        lock (_gate)
        {
            _workers.Remove(worker.Backend);
            _pool.ChangeMembers(members => members.Remove(worker.Backend));
            if (worker is { Request: { } request, Lease: { } lease })
            {
                (worker.Request, worker.Lease) = (null, null);
                _atWork--;
                lease.Complete(AttemptOutcome.Failed, "connection ended before its answer");
                GiveToAnother(request);
            }
            Dispatch();
        }
        _log.Left(_pool.Name, worker.Backend.Name, worker.Backend.Address);
    }

    private void GiveToAnother(Request request)
    {
        if (!request.IsRepeatable || request.Client.Peer.IsClosed || (request.Client.Peer.Type == ZmtpSocketType.Req && request.Client.Open != request))
        {
            return;
        }
        if (request.Attempts >= MostAttempts || _isStopping)
        {
            Refuse(request, _isStopping ? "the load balancer stops" : $"{request.Attempts} workers have lost their connections while they were at it");
            return;
        }
        _pool.Statistics.CountRetry();
        request.Place = _waiting.AddFirst(request);
        request.Client.Waiting.Add(request);
    }

    private bool TryHand(Request request)
    {
        while (_pool.TryAcquire(new SelectionContext(null, request.Client.Hash), out var lease))
        {
            if (_workers.TryGetValue(lease.Backend, out var worker) && worker.Peer.Send(request.Message))
            {
                (worker.Request, worker.Lease) = (request, lease);
                request.Attempts++;
                _atWork++;
                return true;
            }
            // Its connection has just ended, or an operator has added somebody who is not connected: out for a while, and the next one.
            lease.Complete(AttemptOutcome.ConnectFailed, "is not connected");
        }
        return false;
    }

    // Under the lock. Giving a lease back may change the pool, which calls for this again.
    private void Dispatch()
    {
        if (_isDispatching)
        {
            return;
        }
        _isDispatching = true;
        try
        {
            while (_waiting.First is { Value: var request } && TryHand(request))
            {
                Withdraw(request);
            }
        }
        finally
        {
            _isDispatching = false; // after an unexpected error too: the next change tries again
        }
        if (_isStopping && _atWork == 0)
        {
            _idle.TrySetResult();
        }
    }

    private void OnPoolChanged(BackendPool pool)
    {
        lock (_gate)
        {
            Dispatch();
        }
    }
}
