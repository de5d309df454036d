using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;
using LoadBalancer.Diagnostics;
using LoadBalancer.Transport;

namespace LoadBalancer.Tasks;

/// <summary>What all connections of a listener have in common.</summary>
/// <param name="MaxLineLength">The longest line, in bytes without its end.</param>
/// <param name="FirstLineTimeout">How long a client may take until its first line, and a worker until it has registered.</param>
/// <param name="SendTimeout">How long a peer may take no byte of what is being sent to it.</param>
/// <param name="Time">The clock.</param>
/// <param name="Logger">Gets what fails unexpectedly.</param>
internal sealed record SessionSettings(int MaxLineLength, TimeSpan FirstLineTimeout, TimeSpan SendTimeout, TimeProvider Time, ILogger Logger);

/// <summary>A connection over which lines go in both directions.</summary>
internal abstract class LineSession
{
    // Who is told something before the end gets this long to read it: a connection that is closed while something of it is unread is
    // reset, and a reset throws away what was on its way.
    private static readonly TimeSpan Farewell = TimeSpan.FromSeconds(2);

    private readonly ISocketConnection _wire;
    private readonly SessionSettings _settings;
    private readonly ITimer _deadline;
    private volatile string? _ending; // why; nothing that comes is listened to any more
    private volatile string? _brokenBy;

    /// <summary>Takes over a connection.</summary>
    protected LineSession(AcceptedConnection connection, SessionSettings settings)
    {
        (_wire, Remote, _settings) = (connection.Connection, connection.Remote, settings);
        _wire.KeepAlive(); // A machine that lost its power says nothing, and a quiet peer is welcome.
        Writer = new LineWriter(_wire, settings.SendTimeout, Break, settings.Time, settings.Logger);
        _deadline = settings.Time.CreateTimer(static session => ((LineSession)session!).OnDeadline(), this, settings.FirstLineTimeout, Timeout.InfiniteTimeSpan);
    }

    /// <summary>The peer's end.</summary>
    public IPEndPoint Remote { get; }

    /// <summary>The lines to the peer.</summary>
    protected LineWriter Writer { get; }

    /// <summary>Whether the connection is broken without the peer's having ended it in good order.</summary>
    protected bool IsBroken => _brokenBy is not null || _wire.IsBroken;

    /// <summary>How many bytes may wait for the peer that it has not caused by what it sent, beside those that it has.</summary>
    protected virtual long Due => 0;

    /// <summary>Listens until the connection has ended.</summary>
    public async Task RunAsync()
    {
        var lines = new LineBuffer(_settings.MaxLineLength);
        var reason = "it has closed the connection";
        try
        {
            while (await TryReceiveAsync(lines))
            {
                if (_ending is null)
                {
                    Listen(lines);
                }
                else
                {
                    lines.Dispose();
                }
                Outbox.Flush();
                if (Writer.Waiting > LineWriter.Congestion + Due)
                {
                    await Writer.DrainAsync();
                }
            }
            if (_ending is null)
            {
                await FinishAsync();
            }
            await Writer.DrainAsync();
            await _wire.EndSendingAsync();
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            reason = e is SocketException ? e.Message : "the connection is broken";
        }
        finally
        {
            await _deadline.DisposeAsync();
            lines.Dispose();
            Writer.Dispose();
            _wire.Dispose();
            OnGone(_ending ?? _brokenBy ?? reason);
            Outbox.Flush();
        }
    }

    /// <summary>Tells the peer why, and ends the connection once it can have read that. Waits for nothing, and sends nothing before the next <see cref="Outbox.Flush"/>.</summary>
    public void End(string reason, bool isError = true)
    {
        if (Interlocked.CompareExchange(ref _ending, reason, null) is not null)
        {
            return;
        }
        if (isError)
        {
            SendError(Encoding.UTF8.GetBytes(reason));
        }
        _deadline.Change(_settings.SendTimeout + Farewell, Timeout.InfiniteTimeSpan);
        BackgroundTask.Run(SayFarewellAsync(), _settings.Logger, $"ending the connection of {Remote}");
    }

    /// <summary>Cuts the connection.</summary>
    public void Break(string reason)
    {
        Interlocked.CompareExchange(ref _brokenBy, reason, null);
        _wire.Dispose();
    }

    /// <summary>The peer has said what it had to say at first: it may be silent for as long as it likes from now on.</summary>
    protected void EndProbation()
    {
        if (_ending is null)
        {
            _deadline.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>Tells the peer what it did wrong.</summary>
    protected void SendError(ReadOnlySpan<byte> reason, ReadOnlySpan<byte> subject = default) => Writer.Append("ERROR|"u8, reason, subject, "\n"u8);

    /// <summary>The same, in words.</summary>
    protected void SendError(string reason) => SendError(Encoding.UTF8.GetBytes(reason));

    /// <summary>Takes a line that is not empty.</summary>
    protected abstract void OnLine(ReadOnlySpan<byte> line);

    /// <summary>The peer sends nothing more: does what is left to do for it.</summary>
    protected abstract Task FinishAsync();

    /// <summary>The connection has ended.</summary>
    protected abstract void OnGone(string reason);

    // While there is nothing of a line, none of our memory waits for more.
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<bool> TryReceiveAsync(LineBuffer lines)
    {
        if (lines.IsEmpty)
        {
            lines.Dispose();
            await _wire.ReceiveAsync(Memory<byte>.Empty);
        }
        var count = await _wire.ReceiveAsync(lines.Room);
        lines.Add(count);
        return count > 0;
    }

    private void Listen(LineBuffer lines)
    {
        while (_ending is null && lines.TryTake(out var line))
        {
            if (!line.IsEmpty)
            {
                OnLine(line);
            }
        }
        if (lines.IsTooLong)
        {
            End("line too long");
        }
    }

    private async Task SayFarewellAsync()
    {
        await Writer.DrainAsync();
        await _wire.EndSendingAsync();
        _deadline.Change(Farewell, Timeout.InfiniteTimeSpan);
    }

    private void OnDeadline()
    {
        if (_ending is null)
        {
            End($"nothing of use has come for {_settings.FirstLineTimeout}");
            Outbox.Flush();
        }
        else
        {
            Break(_ending);
        }
    }
}
