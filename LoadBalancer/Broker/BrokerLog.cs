using System.Net;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Broker;

/// <summary>The log lines of a broker. Rejected peers are logged once in ten seconds at most; the metrics count all of them.</summary>
internal sealed partial class BrokerLog(string listener, TimeProvider time, ILogger<BrokerLog> logger)
{
    private readonly LogGate _rejected = new(time);
    private readonly LogGate _unmatched = new(time);
    private readonly LogGate _conflict = new(time);

    /// <summary>The logger itself, for background tasks and for the sockets.</summary>
    public ILogger Logger => logger;

    /// <summary>A peer was rejected because of an error of its own, or of this program.</summary>
    public void Rejected(string port, ZmtpPeer peer, ZmtpFault fault, string reason)
    {
        if (fault == ZmtpFault.Internal)
        {
            LogInternal(listener, port, peer.Remote, reason);
        }
        else if (_rejected.TryPass())
        {
            LogRejected(listener, port, peer.ToString(), reason);
        }
    }

    /// <summary>A worker has sent an answer without a request.</summary>
    public void UnmatchedAnswer(string pool, string worker)
    {
        if (_unmatched.TryPass())
        {
            LogUnmatchedAnswer(pool, worker);
        }
    }

    /// <summary>A worker has joined the pool.</summary>
    public void Joined(string pool, string worker, EndpointAddress address) => LogJoined(pool, worker, address);

    /// <summary>A worker has left the pool.</summary>
    public void Left(string pool, string worker, EndpointAddress address) => LogLeft(pool, worker, address);

    /// <summary>An alternative has appeared.</summary>
    public void AlternativeCame(IPAddress address) => LogAlternativeCame(listener, address);

    /// <summary>The alternative has fallen silent.</summary>
    public void AlternativeGone(IPAddress address, TimeSpan timeout) => LogAlternativeGone(listener, address, timeout.TotalSeconds);

    /// <summary>The other broker serves as the main too.</summary>
    public void Conflict(IPAddress? peer)
    {
        if (_conflict.TryPass())
        {
            LogConflict(listener, peer);
        }
    }

    /// <summary>The broker has entered another state.</summary>
    public void Entered(BrokerState state, IPAddress? peer, TimeSpan peerTimeout)
    {
        switch (state)
        {
            case BrokerState.Asking:
                LogAsking(listener, peer);
                break;
            case BrokerState.Waiting when peer is null:
                LogStandsBy(listener);
                break;
            case BrokerState.Waiting:
                LogWaiting(listener, peer);
                break;
            case BrokerState.Watching:
                LogWatching(listener, peer, peerTimeout.TotalSeconds);
                break;
            case BrokerState.Serving:
                LogServing(listener);
                break;
        }
    }

    /// <summary>The broker should serve, and cannot.</summary>
    public void CannotServe(Exception reason)
    {
        if (reason is StartException)
        {
            LogCannotServe(reason.Message);
        }
        else
        {
            LogFailed(reason, listener);
        }
    }

    [LoggerMessage(100, LogLevel.Information, "listener '{Listener}': asks {Peer} whether it serves as the main")]
    private partial void LogAsking(string listener, IPAddress? peer);

    [LoggerMessage(101, LogLevel.Information,
        "listener '{Listener}': is the alternative of {Peer}, from which it has received nothing yet")]
    private partial void LogWaiting(string listener, IPAddress? peer);

    [LoggerMessage(265, LogLevel.Information,
        "listener '{Listener}': stands by, and serves when the cluster's lease of its main is its own")]
    private partial void LogStandsBy(string listener);

    [LoggerMessage(102, LogLevel.Information,
        "listener '{Listener}': is the alternative of {Peer}, and takes over when it is silent for {Seconds} s")]
    private partial void LogWatching(string listener, IPAddress? peer, double seconds);

    [LoggerMessage(103, LogLevel.Information, "listener '{Listener}': is the main")]
    private partial void LogServing(string listener);

    [LoggerMessage(104, LogLevel.Error,
        "listener '{Listener}': {Peer} serves as the main too, because the two could not reach each other; stop one, and start it again")]
    private partial void LogConflict(string listener, IPAddress? peer);

    [LoggerMessage(105, LogLevel.Error, "{Reason}; it cannot be the main, and goes on as the alternative")]
    private partial void LogCannotServe(string reason);

    [LoggerMessage(113, LogLevel.Error, "listener '{Listener}': an unexpected error; it goes on as the alternative; please report it")]
    private partial void LogFailed(Exception exception, string listener);

    [LoggerMessage(106, LogLevel.Information, "listener '{Listener}': {Address} is the alternative")]
    private partial void LogAlternativeCame(string listener, IPAddress address);

    [LoggerMessage(107, LogLevel.Warning, "listener '{Listener}': the alternative {Address} was silent for {Seconds} s; there is none now")]
    private partial void LogAlternativeGone(string listener, IPAddress address, double seconds);

    [LoggerMessage(108, LogLevel.Information, "pool '{Pool}': '{Worker}' at {Address} has joined")]
    private partial void LogJoined(string pool, string worker, EndpointAddress address);

    [LoggerMessage(109, LogLevel.Information, "pool '{Pool}': '{Worker}' at {Address} has left")]
    private partial void LogLeft(string pool, string worker, EndpointAddress address);

    [LoggerMessage(110, LogLevel.Warning, "listener '{Listener}', {Port}: {Peer} {Reason}; the metrics count all of them")]
    private partial void LogRejected(string listener, string port, string peer, string reason);

    [LoggerMessage(111, LogLevel.Warning, "pool '{Pool}': '{Worker}' has sent an answer without a request; its connection was closed")]
    private partial void LogUnmatchedAnswer(string pool, string worker);

    [LoggerMessage(112, LogLevel.Error, "listener '{Listener}', {Port}: {Peer} {Reason}")]
    private partial void LogInternal(string listener, string port, EndPoint? peer, string reason);
}
