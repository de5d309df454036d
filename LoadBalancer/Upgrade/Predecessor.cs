using System.Globalization;
using System.Net.Sockets;
using LoadBalancer.Diagnostics;
using LoadBalancer.Transport;

namespace LoadBalancer.Upgrade;

/// <summary>The process that this one replaces; see <see cref="Upgrader"/>, which is at the other end.</summary>
internal sealed class Predecessor : IDisposable
{
    /// <summary>The environment variable with the number of the file that leads to it.</summary>
    public const string Variable = "LOADBALANCER_TAKE_OVER";

    private readonly HandoverChannel _channel;

    private Predecessor(HandoverChannel channel) => _channel = channel;

    /// <summary>Finds the one that has started this process; null where this is no upgrade.</summary>
    public static Predecessor? Find()
    {
        var text = Environment.GetEnvironmentVariable(Variable);
        Environment.SetEnvironmentVariable(Variable, null);
        if (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var file) || !FilePassing.KeepFromChildren(file))
        {
            return null;
        }
        try
        {
            return new Predecessor(new HandoverChannel(new Socket(new SafeSocketHandle(file, ownsHandle: true))));
        }
        catch (SocketException)
        {
            return null; // The variable means something else.
        }
    }

    /// <summary>Takes what it hands over. The sockets belong to the caller.</summary>
    /// <exception cref="StartException">It is gone.</exception>
    public async Task<(IReadOnlyList<Socket> Sockets, HandedState State)> TakeAsync()
    {
        try
        {
            await _channel.SendAsync(new HandoverMessage { Kind = HandoverMessage.Wants }, CancellationToken.None);
            List<Socket> sockets = [.. _channel.ReceiveSockets().Select(file => new Socket(file))];
            if (await _channel.ReceiveAsync(CancellationToken.None) is { Kind: HandoverMessage.Offer } offer)
            {
                // Of a state that is described in another way nothing is understood; the sockets are what they are.
                return (sockets, offer.Version <= HandoverMessage.CurrentVersion && offer.State is { } state ? state : new HandedState());
            }
            sockets.ForEach(socket => socket.Dispose());
        }
        catch (SocketException e)
        {
            throw new StartException($"the process that is to be replaced hands nothing over: {e.Message}", e);
        }
        throw new StartException("the process that is to be replaced has gone", new IOException());
    }

    /// <summary>Says that this process serves. Where the other one is gone, that does not matter any more.</summary>
    public Task ReportReadyAsync() => TrySendAsync(new HandoverMessage { Kind = HandoverMessage.Ready });

    /// <summary>Says why this process cannot start.</summary>
    public Task ReportFailureAsync(IEnumerable<string> errors) =>
        TrySendAsync(new HandoverMessage { Kind = HandoverMessage.Failed, Errors = [.. errors] });

    /// <summary>Waits until the other process accepts nothing more, or has ended.</summary>
    public async Task WaitUntilItLeavesAsync(CancellationToken cancellationToken)
    {
        while (await _channel.ReceiveAsync(cancellationToken) is { } message && message.Kind != HandoverMessage.Left)
        {
            // Something that a later version says.
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _channel.Dispose();

    private async Task TrySendAsync(HandoverMessage message)
    {
        try
        {
            await _channel.SendAsync(message, CancellationToken.None);
        }
        catch (SocketException)
        {
            // It is gone.
        }
    }
}
