using System.Text;
using NetMQ;

namespace LoadBalancer.Tests.Support;

/// <summary>A socket of NetMQ, an implementation of ZeroMQ that we did not write; frames are text, joined by <c>|</c>.</summary>
internal sealed class NetMqPeer : IAsyncDisposable
{
    private readonly NetMQSocket _socket;
    private readonly CancellationTokenSource _stop = new();
    private Task _working = Task.CompletedTask;

    /// <summary>Connects a socket.</summary>
    public NetMqPeer(NetMQSocket socket, string address, string? identity = null)
    {
        _socket = socket;
        socket.Options.Linger = TimeSpan.Zero;
        if (identity is not null)
        {
            socket.Options.Identity = Encoding.UTF8.GetBytes(identity);
        }
        socket.Connect(address);
    }

    /// <summary>Sends a message.</summary>
    public void Send(string message)
    {
        var frames = new NetMQMessage();
        foreach (var frame in message.Split('|'))
        {
            frames.Append(frame, Encoding.UTF8);
        }
        _socket.TrySendMultipartMessage(TimeLimits.Event, frames).Should().BeTrue("a peer takes it");
    }

    /// <summary>Waits for a message. A socket of NetMQ belongs to one thread at a time, and its calls block it.</summary>
    public Task<string> ReceiveAsync() => Task.Run(() => TryReceive(TimeLimits.Event) ?? throw new TimeoutException("nothing has come"));

    /// <summary>The message that is there; null where there is none.</summary>
    public string? TryReceive(TimeSpan patience)
    {
        var message = new NetMQMessage();
        return _socket.TryReceiveMultipartMessage(patience, ref message)
            ? string.Join('|', message.Select(frame => frame.ConvertToString(Encoding.UTF8))) : null;
    }

    /// <summary>Sends a message and waits for the answer.</summary>
    public Task<string> AskAsync(string message)
    {
        Send(message);
        return ReceiveAsync();
    }

    /// <summary>Answers whatever comes from now on, until this is disposed of.</summary>
    public void Answer(Func<string, string> answer) => _working = Task.Run(() =>
    {
        while (!_stop.IsCancellationRequested)
        {
            if (TryReceive(TimeSpan.FromMilliseconds(10)) is { } message)
            {
                Send(answer(message));
            }
        }
    });

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _working;
        _stop.Dispose();
        _socket.Dispose();
    }
}
