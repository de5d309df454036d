using System.Net;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Broker;

/// <summary>What a broker tells its log. Of peers that misbehave it speaks every ten seconds at the most: they are counted too.</summary>
internal sealed partial class BrokerLog(string listener, TimeProvider time, ILogger<BrokerLog> logger)
{
    private readonly LogGate _refused = new(time);
    private readonly LogGate _misplaced = new(time);
    private readonly LogGate _conflict = new(time);

    /// <summary>For what works in the background.</summary>
    public ILogger Logger => logger;

    /// <summary>A peer has lost its connection through its own fault, or ours.</summary>
    public void Refused(string port, ZmtpPeer peer, ZmtpFault fault, string reason)
    {
        if (fault == ZmtpFault.Internal)
        {
            LogInternal(listener, port, peer.Remote, reason);
        }
        else if (_refused.TryPass())
        {
            LogRefused(listener, port, peer.ToString(), reason);
        }
    }

    /// <summary>A worker has answered what nobody has asked it.</summary>
    public void Misplaced(string pool, string worker)
    {
        if (_misplaced.TryPass())
        {
            LogMisplaced(pool, worker);
        }
    }

    /// <summary>A worker has come.</summary>
    public void Joined(string pool, string worker, EndpointAddress address) => LogJoined(pool, worker, address);

    /// <summary>A worker has gone.</summary>
    public void Left(string pool, string worker, EndpointAddress address) => LogLeft(pool, worker, address);

    /// <summary>There is an alternative.</summary>
    public void AlternativeCame(IPAddress address) => LogAlternativeCame(listener, address);

    /// <summary>There is none any more.</summary>
    public void AlternativeGone(IPAddress address, TimeSpan timeout) => LogAlternativeGone(listener, address, timeout.TotalSeconds);

    /// <summary>The other one serves as well.</summary>
    public void Conflict(IPAddress? peer)
    {
        if (_conflict.TryPass())
        {
            LogConflict(listener, peer);
        }
    }

    /// <summary>It has come to do something else.</summary>
    public void Entered(BrokerState state, IPAddress? peer, TimeSpan peerTimeout)
    {
        switch (state)
        {
            case BrokerState.Asking:
                LogAsking(listener, peer);
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

    /// <summary>It should serve, and cannot.</summary>
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

    [LoggerMessage(101, LogLevel.Information, "listener '{Listener}': is the alternative of {Peer}, which it has not heard of yet")]
    private partial void LogWaiting(string listener, IPAddress? peer);

    [LoggerMessage(102, LogLevel.Information, "listener '{Listener}': is the alternative of {Peer}, and takes over when it is silent for {Seconds} s")]
    private partial void LogWatching(string listener, IPAddress? peer, double seconds);

    [LoggerMessage(103, LogLevel.Information, "listener '{Listener}': is the main")]
    private partial void LogServing(string listener);

    [LoggerMessage(104, LogLevel.Error, "listener '{Listener}': {Peer} serves as the main too, for the two have not reached each other; stop one of them, and start it again")]
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

    [LoggerMessage(110, LogLevel.Warning, "listener '{Listener}', {Port}: {Peer} {Reason}; others are counted in the metrics")]
    private partial void LogRefused(string listener, string port, string peer, string reason);

    [LoggerMessage(111, LogLevel.Warning, "pool '{Pool}': '{Worker}' has sent what is no answer to anything it was asked: its connection was closed")]
    private partial void LogMisplaced(string pool, string worker);

    [LoggerMessage(112, LogLevel.Error, "listener '{Listener}', {Port}: {Peer} {Reason}")]
    private partial void LogInternal(string listener, string port, EndPoint? peer, string reason);
}
