using LoadBalancer.Configuration.Options;
using LoadBalancer.Zmtp;

namespace LoadBalancer.Broker;

/// <summary>
/// Forwards what workers publish while they work, <c>&lt;client's id&gt; OK</c>, to the clients that have subscribed to it: an XSUB and an
/// XPUB back to back. Subscriptions are forwarded to workers, so that they send only what a client has subscribed to.
/// </summary>
internal sealed class WorkerCheck : IAsyncDisposable
{
    /// <summary>Creates it; it forwards from when its sockets are bound.</summary>
    /// <param name="rejections">Counts rejected peers.</param>
    /// <param name="limits">The limits of its sockets.</param>
    /// <param name="time">The clock.</param>
    /// <param name="mayServe">Whether it is the main still; null: it is for as long as this runs.</param>
    public WorkerCheck(Rejections rejections, ZmtpLimits limits, TimeProvider time, Func<bool>? mayServe = null)
    {
        Clients = new PublishSocket(ZmtpSocketType.XPub, limits, time)
        {
            SubscriptionChanged = OnSubscription,
            Faulted = rejections.At(nameof(BrokerPorts.WorkerCheckClients)),
            Logger = rejections.Logger,
        };
        Workers = new SubscribeSocket(ZmtpSocketType.XSub, limits, time)
        {
            Received = (_, message) =>
            {
                if (mayServe?.Invoke() != false)
                {
                    Clients.Publish(message);
                }
            },
            Faulted = rejections.At(nameof(BrokerPorts.WorkerCheckWorkers)),
            Logger = rejections.Logger,
        };
    }

    /// <summary>The socket to which clients connect: an XPUB.</summary>
    public PublishSocket Clients { get; }

    /// <summary>The socket to which workers connect: an XSUB.</summary>
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
