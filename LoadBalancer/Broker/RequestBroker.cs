using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Broker;

/// <summary>
/// Passes requests of clients to workers, and answers back. Workers are backends of a pool that join by connecting and have one request
/// each at most; while none is free, requests wait in a queue, first come first served.
/// <para>
/// A request is dropped if its client disconnects while it waits. If the connection of a worker that has it is lost, an idempotent request
/// goes to another worker, before all that wait; for any other one no answer comes, and the client decides.
/// </para>
/// </summary>
internal sealed partial class RequestBroker : IAsyncDisposable
{
    /// <summary>The longest request, in bytes of all its frames: a full queue of such requests still fits into memory.</summary>
    public const int LongestRequest = 64 * 1024;

    // A request that was at so many workers when their connections were lost is probably the cause.
    private const int MaxAttemptsPerRequest = 5;

    // A client that sends so many messages in a row that are no requests is disconnected.
    private const int MaxMalformed = 100;

    private static readonly ZmtpMessage Fail = ZmtpMessage.Of("FAIL");

    private readonly string _listener;
    private readonly BackendPool _pool;
    private readonly TimeProvider _time;
    private readonly ErrorStatistics _errors;
    private readonly BrokerLog _log;
    private readonly Rejections _rejections;
    private readonly Lock _gate = new(); // guards what follows, and the states of clients and workers
    private readonly LinkedList<Request> _waiting = new();
    private readonly HashSet<ClientState> _clientStates = [];
    private readonly Dictionary<Backend, WorkerState> _workers = [];
    private readonly TaskCompletionSource _idle = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _busyWorkers;
    private int _clients;
    private bool _isDispatching;
    private bool _isStopping;
    private bool _isLeaving;

    /// <summary>Creates it; it serves from when its sockets are bound.</summary>
    public RequestBroker(string listener, BackendPool pool, int queueLimit, BrokerLog log, Rejections rejections, ZmtpLimits limits,
        ErrorStatistics errors, TimeProvider time)
    {
        (_listener, _pool, QueueLimit, _log, _rejections, _errors, _time) = (listener, pool, queueLimit, log, rejections, errors, time);
        Clients = new PeerSocket(ZmtpSocketType.Router, limits with { FrameBytes = LongestRequest, MessageBytes = LongestRequest }, time)
        {
            Connected = OnClient,
            Received = OnRequest,
            Disconnected = OnClientGone,
            Faulted = rejections.At(nameof(BrokerPorts.Clients)),
            Name = listener,
            Logger = log.Logger,
        };
        Workers = new PeerSocket(ZmtpSocketType.Dealer, limits, time)
        {
            Connected = OnWorker,
            Received = OnAnswer,
            Disconnected = OnWorkerGone,
            Faulted = rejections.At(nameof(BrokerPorts.Workers)),
            Name = listener,
            Logger = log.Logger,
        };
        _pool.SnapshotChanged += OnPoolChanged;
    }

    /// <summary>Whether it is the main still, asked before each request to a worker and each answer; null: as long as this is.</summary>
    public Func<bool>? MayServe { get; init; }

    /// <summary>The most requests that may wait.</summary>
    public int QueueLimit { get; set; }

    /// <summary>The socket to which clients connect.</summary>
    public PeerSocket Clients { get; }

    /// <summary>The socket to which workers connect.</summary>
    public PeerSocket Workers { get; }

    /// <summary>The number of connected clients.</summary>
    public int ClientCount => Volatile.Read(ref _clients);

    /// <summary>The number of connected workers.</summary>
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

    /// <summary>The number of requests that wait.</summary>
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

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _pool.SnapshotChanged -= OnPoolChanged;
        lock (_gate)
        {
            _isStopping = true;
            _isDispatching = true; // so that nothing is dispatched any more
        }
        await Clients.DisposeAsync();
        await Workers.DisposeAsync();
    }

    // ---- Clients -------------------------------------------------------------------------------------------------------------------

    private void OnClient(ZmtpPeer peer)
    {
        var client = new ClientState(peer);
        peer.State = client;
        Interlocked.Increment(ref _clients);
        lock (_gate)
        {
            _clientStates.Add(client);
        }
    }

    private void OnClientGone(ZmtpPeer peer)
    {
        Interlocked.Decrement(ref _clients);
        lock (_gate)
        {
            _clientStates.Remove((ClientState)peer.State!);
            foreach (var request in ((ClientState)peer.State!).Waiting.ToList())
            {
                DequeueNeedsLock(request);
            }
        }
    }

    private void OnRequest(ZmtpPeer peer, ZmtpMessage message)
    {
        var client = (ClientState)peer.State!;
        if (Request.TryRead(client, message, _time.GetTimestamp()) is not { } request)
        {
            _rejections.Count(nameof(BrokerPorts.Clients), Rejections.NotARequest);
            if (MayServe?.Invoke() != false)
            {
                peer.SendOwn(message.TryOpen(out var envelope, out _) ? envelope : ZmtpEnvelope.Empty, Fail);
            }
            if (++client.Malformed == MaxMalformed)
            {
                peer.Close(ZmtpFault.Malformed, $"has sent {MaxMalformed} messages in a row that are no requests");
            }
            return;
        }
        client.Malformed = 0;
        lock (_gate)
        {
            if (peer.IsEnding)
            {
                return; // It comes too late: no answer can be sent on this connection any more.
            }
            client.HasAsked = true;
            if (peer.Type == ZmtpSocketType.Req)
            {
                // A client that sends a request before it has its answer (ZMQ_REQ_RELAXED) has given up the first one.
                if (client.Open is { QueueNode: not null } before)
                {
                    DequeueNeedsLock(before);
                }
                client.Open = request;
            }
            if (RejectsNeedsLock)
            {
                RejectNeedsLock(request, "the load balancer stops", isOwn: true);
            }
            else if (_waiting.Count > 0 || !TryAssignNeedsLock(request))
            {
                EnqueueNeedsLock(request);
            }
        }
    }

    private void EnqueueNeedsLock(Request request)
    {
        if (_waiting.Count >= QueueLimit)
        {
            _pool.Statistics.CountQueueRefusal();
            RejectNeedsLock(request, $"{QueueLimit} requests wait already (QueueLimit)", isOwn: true);
            return;
        }
        request.QueueNode = _waiting.AddLast(request);
        request.Client.Waiting.Add(request);
    }

    private void DequeueNeedsLock(Request request)
    {
        _waiting.Remove(request.QueueNode!);
        request.QueueNode = null;
        request.Client.Waiting.Remove(request);
    }

    // isOwn: its client has just sent it.
    private void RejectNeedsLock(Request request, string cause, bool isOwn = false)
    {
        var elapsed = _time.GetElapsedTime(request.Arrived);
        _pool.Statistics.CountOwnAnswer(StatusCodes.Status503ServiceUnavailable, elapsed, elapsed);
        _errors.Add(StatusCodes.Status503ServiceUnavailable, ErrorPlace.OfListener(_listener), null, null, cause);
        ReplyNeedsLock(request, Fail, isOwn);
    }

    // Sends to the present connection of the client. A REQ that has reconnected, and has sent another request since, must not get the old
    // answer.
    private void ReplyNeedsLock(Request request, in ZmtpMessage answer, bool isOwn = false)
    {
        if (MayServe?.Invoke() == false)
        {
            return;
        }
        var client = request.Client;
        if (client.Peer.IsClosed)
        {
            if (Clients.Find(client.Peer.Identity.Span)?.State is not ClientState now
                || (now.HasAsked && now.Peer.Type == ZmtpSocketType.Req))
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
        if (isOwn && client == request.Client)
        {
            client.Peer.SendOwn(request.Envelope, answer);
        }
        else
        {
            client.Peer.Send(request.Envelope, answer);
        }
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
                    // The lowest free number: names, and the metrics with these names, must not grow in number with each restart.
                    var names = members.Select(member => member.Name).ToHashSet();
                    var name = Enumerable.Range(1, members.Length + 1).Select(number => $"worker-{number}")
                        .First(name => !names.Contains(name));
                    var backend = new Backend(name, new EndpointAddress("tcp", ip.ToString(), remote.Port),
                        new BackendHealth(new HealthRules(), _time), maxInFlight: 1);
                    peer.State = worker = new WorkerState(peer, backend);
                    _workers.Add(backend, worker);
                    return members.Add(backend);
                });
            }
            catch (InvalidOperationException) // The pool is full, so OnWorkerGone must not remove anything.
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
        if (peer.State is not WorkerState worker)
        {
            return; // It was let go.
        }
        lock (_gate)
        {
            if (worker is not { Request: { } request, Lease: { } lease } || !message.TryOpen(out _, out var answer) || answer.Count != 1)
            {
                // The worker is out of step: from here on no answer of it can be matched with a request.
                _rejections.Count(nameof(BrokerPorts.Workers), Rejections.NotAnAnswer);
                _log.UnmatchedAnswer(_pool.Name, worker.Backend.Name);
                peer.Close();
                return;
            }
            (worker.Request, worker.Lease) = (null, null);
            _busyWorkers--;
            lease.CountAnswer(StatusCodes.Status200OK, lease.ObserveResponse(), _time.GetElapsedTime(request.Arrived));
            ReplyNeedsLock(request, answer);
            lease.Complete(AttemptOutcome.Succeeded);
            DispatchNeedsLock();
            if (_isLeaving)
            {
                EndIfIdleNeedsLock(request.Client);
                EndIfSpareNeedsLock(worker);
                SetIfIdleNeedsLock();
            }
        }
    }

    private void OnWorkerGone(ZmtpPeer peer)
    {
        if (peer.State is not WorkerState worker)
        {
            return; // It has not joined.
        }
        lock (_gate)
        {
            _workers.Remove(worker.Backend);
            _pool.ChangeMembers(members => members.Remove(worker.Backend));
            if (worker is { Request: { } request, Lease: { } lease })
            {
                (worker.Request, worker.Lease) = (null, null);
                _busyWorkers--;
                lease.Complete(AttemptOutcome.Failed, "connection ended before its answer");
                RetryNeedsLock(request);
            }
            DispatchNeedsLock();
        }
        _log.Left(_pool.Name, worker.Backend.Name, worker.Backend.Address);
    }

    private void RetryNeedsLock(Request request)
    {
        if (!request.IsRepeatable || request.Client.Peer.IsClosed
            || (request.Client.Peer.Type == ZmtpSocketType.Req && request.Client.Open != request))
        {
            return;
        }
        if (request.Attempts >= MaxAttemptsPerRequest || RejectsNeedsLock)
        {
            RejectNeedsLock(request,
                RejectsNeedsLock ? "the load balancer stops"
                    : $"{request.Attempts} workers have lost their connections while they had it");
            return;
        }
        _pool.Statistics.CountRetry();
        request.QueueNode = _waiting.AddFirst(request);
        request.Client.Waiting.Add(request);
    }

    private bool TryAssignNeedsLock(Request request)
    {
        while (MayServe?.Invoke() != false && _pool.TryAcquire(new SelectionContext(null, request.Client.Hash), out var lease))
        {
            if (_workers.TryGetValue(lease.Backend, out var worker) && worker.Peer.Send(request.Message))
            {
                (worker.Request, worker.Lease) = (request, lease);
                request.Attempts++;
                _busyWorkers++;
                return true;
            }
            // Its connection has just ended, or an operator has added a backend that is not connected: it is ejected, and the next one is
            // tried.
            lease.Complete(AttemptOutcome.ConnectFailed, "is not connected");
        }
        return false;
    }

    // Giving a lease back may change the pool, which calls this again.
    private void DispatchNeedsLock()
    {
        if (_isDispatching)
        {
            return;
        }
        _isDispatching = true;
        try
        {
            while (_waiting.First is { Value: var request } && TryAssignNeedsLock(request))
            {
                DequeueNeedsLock(request);
            }
        }
        finally
        {
            _isDispatching = false; // also after an unexpected error, so that the next change dispatches again
        }
        SetIfIdleNeedsLock();
    }

    private void OnPoolChanged(BackendPool pool)
    {
        lock (_gate)
        {
            DispatchNeedsLock();
        }
    }
}
