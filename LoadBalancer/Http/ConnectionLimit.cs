using Microsoft.AspNetCore.Connections;

namespace LoadBalancer.Http;

/// <summary>Holds a listener to <c>MaxConnections</c>: a surplus connection is closed at once, counted, and told of.</summary>
/// <param name="listener">The listener's name.</param>
/// <param name="most">How many connections there may be at once.</param>
/// <param name="time">The clock that spaces the log lines.</param>
/// <param name="logger">Told of surplus connections, every ten seconds at most.</param>
public sealed partial class ConnectionLimit(string listener, int most, TimeProvider time, ILogger<ConnectionLimit> logger)
{
    private static readonly TimeSpan LogInterval = TimeSpan.FromSeconds(10);

    private int _open;
    private long _refused;
    private long _told;
    private long _toldAt = time.GetTimestamp() - (long)(LogInterval.TotalSeconds * time.TimestampFrequency);

    /// <summary>Connections that were closed because there were too many.</summary>
    public long Refused => Interlocked.Read(ref _refused);

    /// <summary>Lets a connection through, or closes it by returning.</summary>
    public async Task OnConnectionAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        try
        {
            if (Interlocked.Increment(ref _open) <= most)
            {
                await next(connection);
            }
            else
            {
                Interlocked.Increment(ref _refused);
                TellOfIt();
            }
        }
        finally
        {
            Interlocked.Decrement(ref _open);
        }
    }

    private void TellOfIt()
    {
        var (before, now) = (Interlocked.Read(ref _toldAt), time.GetTimestamp());
        if (time.GetElapsedTime(before, now) >= LogInterval && Interlocked.CompareExchange(ref _toldAt, now, before) == before)
        {
            LogRefused(listener, Refused - Interlocked.Exchange(ref _told, Refused), most);
        }
    }

    [LoggerMessage(42, LogLevel.Warning, "listener '{Listener}': {Count} connections were closed at once, for there are {Most} (MaxConnections) already")]
    private partial void LogRefused(string listener, long count, int most);
}
