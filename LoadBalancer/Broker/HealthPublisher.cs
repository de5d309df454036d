using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Broker;

/// <summary>Publishes HCHECK, by which everybody knows that the main is there and who is its alternative.</summary>
/// <param name="refusals">Told of peers that were refused.</param>
/// <param name="limits">Of its socket.</param>
/// <param name="time">The clock.</param>
internal sealed class HealthPublisher(Refusals refusals, ZmtpLimits limits, TimeProvider time) : IAsyncDisposable
{
    private ITimer? _timer;
    private long _publishedAt;

    /// <summary>Where everybody connects: a PUB. Bound, but silent, it only shows that somebody is here.</summary>
    public PublishSocket Socket { get; } = new(ZmtpSocketType.Pub, limits, time) 
    {
        Faulted = refusals.At(nameof(BrokerPorts.HealthCheck)), Logger = refusals.Logger,
    };

    /// <summary>When it has published last; null where it has not.</summary>
    public long? PublishedAt => Interlocked.Read(ref _publishedAt) is not 0 and var at ? at : null;

    /// <summary>Publishes now, and from now on.</summary>
    /// <param name="interval">How often.</param>
    /// <param name="alternative">Who is the alternative; null where there is none.</param>
    public void Start(TimeSpan interval, Func<IPAddress?> alternative) => _timer = time.CreateTimer(
        _ =>
        {
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
