using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;
using LoadBalancer.Diagnostics;
using LoadBalancer.Transport;

namespace LoadBalancer.Tasks;

/// <summary>The settings that all connections of a listener share.</summary>
/// <param name="MaxLineLength">The longest line, in bytes without its end.</param>
/// <param name="FirstLineTimeout">The time within which a client must send its first line, and a worker must register.</param>
/// <param name="SendTimeout">How long a peer may accept no byte of what is being sent to it.</param>
/// <param name="Buffers">Bounds what the peers have in buffers together.</param>
/// <param name="Rejected">Called with a session and the reason when its peer is disconnected because of what it does.</param>
/// <param name="Time">The clock.</param>
/// <param name="Logger">Gets what fails unexpectedly.</param>
internal sealed record SessionSettings(
    int MaxLineLength, TimeSpan FirstLineTimeout, TimeSpan SendTimeout, BufferBudget Buffers, Action<LineSession, string> Rejected,
    TimeProvider Time, ILogger Logger);

/// <summary>A connection that carries lines of text in both directions.</summary>
internal abstract class LineSession
{
    /// <summary>A peer that sends so many malformed lines, one after the other, is disconnected.</summary>
    public const int MaxMalformed = 100;

    // How much of what only the peer causes, such as errors, may wait for it. Beyond that nothing more is read from it until it has read.
    private const int OwnAllowance = 64 * 1024;

    // After its last line a peer has this long to read it: a connection that is closed while received bytes are unread is reset, and a
    // reset discards what was on its way to the peer.
    private static readonly TimeSpan CloseTimeout = TimeSpan.FromSeconds(2);

    private readonly ISocketConnection _connection;
    private readonly SessionSettings _settings;
    private readonly ITimer _deadline;
    private readonly BufferShare _share;
    private volatile string? _ending; // the reason; from then on received lines are ignored
    private volatile string? _brokenBy;
    private int _malformed; // lines, since the last valid one
    private long _own; // at most so many of the unsent bytes were caused by the peer alone
    private int _excess; // bytes of the line buffer that are counted in _share

    /// <summary>Takes over a connection.</summary>
    protected LineSession(AcceptedConnection connection, SessionSettings settings)
    {
        (_connection, Remote, _settings) = (connection.Connection, (IPEndPoint)connection.Remote, settings);
        _connection.KeepAlive(); // A peer may be quiet for long, and a machine that lost power sends nothing.
        _share = settings.Buffers.Join(OnTooMuchWaits);
        Writer = new LineWriter(_connection, settings.SendTimeout, Break, settings.Time, settings.Logger, _share);
        _deadline = settings.Time.CreateTimer(
            static session => ((LineSession)session!).OnDeadline(), this, settings.FirstLineTimeout, Timeout.InfiniteTimeSpan);
    }

    /// <summary>The peer's address.</summary>
    public IPEndPoint Remote { get; }

    /// <summary>Writes lines to the peer.</summary>
    protected LineWriter Writer { get; }

    /// <summary>Whether the connection was broken rather than closed by the peer.</summary>
    protected bool IsBroken => _brokenBy is not null || _connection.IsBroken;

    /// <summary>The number of bytes that may wait for the peer in addition to the answers to what it has sent.</summary>
    protected virtual long ExtraAllowance => 0;

    /// <summary>Receives lines until the connection has ended.</summary>
    public async Task RunAsync()
    {
        var lines = new LineBuffer(_settings.MaxLineLength);
        var reason = "it has closed the connection";
        try
        {
            while (await TryReceiveAsync(lines))
            {
                while (!TryHandleLines(lines))
                {
                    Outbox.Flush();
                    await Writer.DrainAsync();
                }
                CountExcess(lines);
                Outbox.Flush();
                if (Writer.Unsent > LineWriter.Congestion + ExtraAllowance)
                {
                    await Writer.DrainAsync();
                }
            }
            if (_ending is null)
            {
                await FinishAsync();
            }
            await Writer.DrainAsync();
            await _connection.EndSendingAsync();
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
            _share.Leave();
            _connection.Dispose();
            OnGone(_ending ?? _brokenBy ?? reason);
            Outbox.Flush();
        }
    }

    /// <summary>
    /// Sends the peer the reason, and ends the connection when the peer had time to read it. Returns at once; the reason is sent with the
    /// next <see cref="Outbox.Flush"/>.
    /// </summary>
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
        _deadline.Change(_settings.SendTimeout + CloseTimeout, Timeout.InfiniteTimeSpan);
        BackgroundTask.Run(CloseGracefullyAsync(), _settings.Logger, $"ending the connection of {Remote}");
    }

    /// <summary>Closes the connection at once.</summary>
    public void Break(string reason)
    {
        Interlocked.CompareExchange(ref _brokenBy, reason, null);
        _connection.Dispose();
    }

    /// <summary>The peer has sent its first valid line: from now on it may be silent for any time.</summary>
    protected void StopFirstLineTimeout()
    {
        if (_ending is null)
        {
            _deadline.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        }
    }

    /// <summary>Sends the peer an <c>ERROR</c> line that says what it did wrong.</summary>
    protected void SendError(ReadOnlySpan<byte> reason, ReadOnlySpan<byte> subject = default) =>
        SendOwn("ERROR|"u8, reason, subject, "\n"u8);

    /// <inheritdoc cref="SendError(ReadOnlySpan{byte}, ReadOnlySpan{byte})"/>
    protected void SendError(string reason) => SendError(Encoding.UTF8.GetBytes(reason));

    /// <summary>Sends the peer a line that it alone has caused.</summary>
    protected void SendOwn(
        ReadOnlySpan<byte> first, ReadOnlySpan<byte> second = default, ReadOnlySpan<byte> third = default,
        ReadOnlySpan<byte> fourth = default, ReadOnlySpan<byte> fifth = default)
    {
        _own += first.Length + second.Length + third.Length + fourth.Length + fifth.Length;
        Writer.Append(first, second, third, fourth, fifth);
    }

    /// <summary>Handles a line that is not empty.</summary>
    /// <returns>False if it is malformed.</returns>
    protected abstract bool TryHandle(ReadOnlySpan<byte> line);

    /// <summary>The peer sends nothing more: does the work that is left for it.</summary>
    protected abstract Task FinishAsync();

    /// <summary>The connection has ended.</summary>
    protected abstract void OnGone(string reason);

    // Holds no buffer while it waits for the first byte of a line.
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder<>))]
    private async ValueTask<bool> TryReceiveAsync(LineBuffer lines)
    {
        if (lines.IsEmpty)
        {
            lines.Dispose();
            await _connection.ReceiveAsync(Memory<byte>.Empty);
        }
        var count = await _connection.ReceiveAsync(lines.Room);
        lines.Add(count);
        return count > 0;
    }

    /// <returns>False if it has stopped before the last line because the peer must read first.</returns>
    private bool TryHandleLines(LineBuffer lines)
    {
        while (_ending is null && lines.TryTake(out var line))
        {
            if (!line.IsEmpty)
            {
                _malformed = TryHandle(line) ? 0 : _malformed + 1;
                if (_malformed == MaxMalformed)
                {
                    Reject($"{MaxMalformed} malformed lines in a row");
                }
                else if (_own > OwnAllowance && (_own = Math.Min(_own, Writer.Unsent)) > OwnAllowance)
                {
                    return false;
                }
            }
        }
        if (_ending is null && lines.IsTooLong)
        {
            Reject("line too long");
        }
        if (_ending is not null)
        {
            lines.Dispose();
        }
        return true;
    }

    private void Reject(string reason)
    {
        _settings.Rejected(this, reason);
        End(reason);
    }

    private void OnTooMuchWaits()
    {
        const string Reason = "too many bytes wait for all peers together (MaxBufferedBytes), most of them for this one";
        _settings.Rejected(this, Reason);
        Break(Reason);
    }

    private void CountExcess(LineBuffer lines)
    {
        if (lines.Excess is var excess && excess != _excess)
        {
            _share.Change(excess - _excess);
            _excess = excess;
        }
    }

    private async Task CloseGracefullyAsync()
    {
        await Writer.DrainAsync();
        await _connection.EndSendingAsync();
        _deadline.Change(CloseTimeout, Timeout.InfiniteTimeSpan);
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
