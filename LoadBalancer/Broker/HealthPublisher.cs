using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Broker;

/// <summary>
/// Publishes HCHECK, which tells clients, workers and the alternative that the main is alive, and who its alternative is.
/// </summary>
/// <param name="rejections">Counts rejected peers.</param>
/// <param name="limits">The limits of its socket.</param>
/// <param name="time">The clock.</param>
internal sealed class HealthPublisher(Rejections rejections, ZmtpLimits limits, TimeProvider time) : IAsyncDisposable
{
    private ITimer? _timer;
    private long _publishedAt;

    /// <summary>The socket to which all of them connect: a PUB. Bound but silent, it only shows that a broker is here.</summary>
    public PublishSocket Socket { get; } = new(ZmtpSocketType.Pub, limits, time)
    {
        Faulted = rejections.At(nameof(BrokerPorts.HealthCheck)),
        Logger = rejections.Logger,
    };

    /// <summary>Timestamp of the last HCHECK; null if there was none.</summary>
    public long? PublishedAt => Interlocked.Read(ref _publishedAt) is not 0 and var at ? at : null;

    /// <summary>Publishes now, and then in intervals.</summary>
    /// <param name="interval">The time between two HCHECKs.</param>
    /// <param name="alternative">Returns the alternative; null if there is none.</param>
    /// <param name="mayServe">Whether it is the main still; null: it is for as long as this runs.</param>
    public void Start(TimeSpan interval, Func<IPAddress?> alternative, Func<bool>? mayServe = null) => _timer = time.CreateTimer(
        _ =>
        {
            if (mayServe?.Invoke() == false)
            {
                return;
            }
            Socket.Publish(PeerMessages.HealthCheck(alternative()));
            Interlocked.Exchange(ref _publishedAt, time.GetTimestamp());
        }, null, TimeSpan.Zero, interval);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_timer is { } timer)
        {
            await timer.DisposeAsync();
        }
        await Socket.DisposeAsync();
    }
}
