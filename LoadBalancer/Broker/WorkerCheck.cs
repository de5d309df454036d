using LoadBalancer.Configuration.Options;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Broker;

/// <summary>
/// Passes on what workers publish while they work, <c>&lt;client's id&gt; OK</c>, to the clients that have subscribed to it: an XSUB and an
/// XPUB back to back. Workers are told of the subscriptions, so that what nobody wants to hear does not even reach us.
/// </summary>
internal sealed class WorkerCheck : IAsyncDisposable
{
    /// <summary>Makes it; it passes on from when its sockets are bound.</summary>
    public WorkerCheck(Refusals refusals, ZmtpLimits limits, TimeProvider time)
    {
        Clients = new PublishSocket(ZmtpSocketType.XPub, limits, time) 
        {
            SubscriptionChanged = OnSubscription, Faulted = refusals.At(nameof(BrokerPorts.WorkerCheckClients)), Logger = refusals.Logger,
        };
        Workers = new SubscribeSocket(ZmtpSocketType.XSub, limits, time) 
        {
            Received = (_, message) => Clients.Publish(message),
            Faulted = refusals.At(nameof(BrokerPorts.WorkerCheckWorkers)),
            Logger = refusals.Logger,
        };
    }

    /// <summary>Where clients connect: an XPUB.</summary>
    public PublishSocket Clients { get; }

    /// <summary>Where workers connect: an XSUB.</summary>
    public SubscribeSocket Workers { get; }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await Workers.DisposeAsync();
        await Clients.DisposeAsync();
    }

    private void OnSubscription(ReadOnlyMemory<byte> prefix, bool isWanted)
    {
        if (isWanted)
        {
            Workers.Subscribe(prefix.Span);
        }
        else
        {
            Workers.Unsubscribe(prefix.Span);
        }
    }
}
