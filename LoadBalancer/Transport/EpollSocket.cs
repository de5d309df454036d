using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using Microsoft.Win32.SafeHandles;

namespace LoadBalancer.Transport;

/// <summary>
/// A socket of an event loop. For each direction it keeps a state: not ready, ready (worth a try), or awaited. A wait is ended exactly
/// once, by the loop or by another thread that claims it; that thread makes the callback. It is a handle, so that its file is closed
/// once, and not during a call on another thread, which might then act on a new file with the same number.
/// </summary>
[SupportedOSPlatform("linux")]
internal abstract unsafe class EpollSocket : SafeHandleMinusOneIsInvalid
{
    /// <summary>Nothing can be received at the moment.</summary>
    public const int WouldBlock = -1;

    private const int NotReady = 0;
    private const int Ready = 1;
    private const int Awaited = 2;
    private const uint Ends = Libc.EpollRdHup | Libc.EpollHup | Libc.EpollErr;

    private int _readable;
    private int _writable = Ready;
    private int _added;
    private volatile bool _isDisposed;
    // Even after a short read there may be more: the end, an error and bytes after an urgent byte raise no event of their own.
    private volatile bool _readsToTheEnd;

    /// <summary>Takes over the file.</summary>
    protected EpollSocket(int file, EventLoop loop)
        : base(true)
    {
        Loop = loop;
        SetHandle(file);
    }

    /// <summary>The loop that it belongs to.</summary>
    public EventLoop Loop { get; }

    /// <summary>Its key in the loop.</summary>
    public ulong Key { get; set; }

    /// <summary>
    /// Whether it was disposed. Its file may still be open during a call on another thread, but no further event is certain,
    /// so no wait may begin.
    /// </summary>
    public bool IsDisposed => _isDisposed;

    /// <summary>Whether receiving is worth a try.</summary>
    public bool IsReadable => Volatile.Read(ref _readable) != NotReady;

    /// <summary>
    /// Whether there may be something to read, but the loop has spent its read budget on this socket and others come first: see
    /// <see cref="Yield"/>.
    /// </summary>
    public bool HasUsedItsReadBudget => IsReadable && EventLoop.Current is { HasUsedItsReadBudget: true };

    /// <summary>Receives what is there, without waiting.</summary>
    /// <param name="into">The buffer.</param>
    /// <param name="flags"><see cref="Libc.Peek"/> does not consume the bytes.</param>
    /// <returns>How many bytes; 0 at the end; <see cref="WouldBlock"/> if there is nothing to read.</returns>
    /// <exception cref="SocketException">The connection is broken.</exception>
    /// <exception cref="ObjectDisposedException">It was closed.</exception>
    public int Receive(Span<byte> into, int flags = 0)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (!TryBeginReading())
        {
            return WouldBlock;
        }
        int count;
        fixed (byte* data = into)
        {
            count = (int)Libc.Receive(this, data, (nuint)into.Length, Libc.DontWait | flags);
        }
        EventLoop.Current?.Spend(count);
        if (count < 0 && Marshal.GetLastPInvokeError() == Libc.Again)
        {
            return WouldBlock;
        }
        if (count <= 0 || count == into.Length || _readsToTheEnd)
        {
            MarkReadable(); // otherwise nothing is left until the next event
        }
        return count >= 0 ? count : throw Libc.LastError();
    }

    /// <summary>Sends without waiting.</summary>
    /// <returns>How many bytes were taken. If not all, an event follows when there is room.</returns>
    /// <exception cref="SocketException">The connection is broken.</exception>
    /// <exception cref="ObjectDisposedException">It was closed.</exception>
    public int Send(ReadOnlySpan<byte> data, bool moreFollows = false)
    {
        var isKnownFull = Volatile.Read(ref _writable) == NotReady;
        var sent = SendOnce(data, moreFollows);
        if (sent == data.Length || isKnownFull)
        {
            return sent;
        }
        // An event before this line may be older than the full buffer, so try once more after the state is reset.
        Interlocked.Exchange(ref _writable, NotReady);
        return sent + SendOnce(data[sent..], moreFollows);
    }

    /// <summary>How many bytes were given to the system, but not acknowledged by the other side.</summary>
    public int UnacknowledgedBytes => Query(Libc.QueuedToSend);

    /// <summary>How many bytes have not left this machine.</summary>
    public int UnsentBytes => Query(Libc.NotYetSent);

    /// <summary>Ends both directions; an event ends the waits.</summary>
    public void Shutdown()
    {
        try
        {
            _ = Libc.Shutdown(this, Libc.ShutBoth); // fails where it has ended already
        }
        catch (ObjectDisposedException)
        {
            // It was closed.
        }
    }

    /// <summary>Ends our half, once all that was sent has gone.</summary>
    public void EndSending()
    {
        try
        {
            _ = Libc.Shutdown(this, Libc.ShutSend); // fails where it has ended already
        }
        catch (ObjectDisposedException)
        {
            // It was closed.
        }
    }

    /// <summary>
    /// Resets the connection, so that the other side does not take a part of the data for all of it; an event ends the waits.
    /// </summary>
    public void Reset()
    {
        try
        {
            var unspecified = stackalloc byte[16]; // AF_UNSPEC is 0; connect(2) with it dissolves the connection
            if (Libc.Connect(this, unspecified, 16) != 0)
            {
                _ = Libc.Shutdown(this, Libc.ShutBoth); // A Unix socket has no reset.
            }
        }
        catch (ObjectDisposedException)
        {
            // It was closed.
        }
    }

    /// <summary>Begins to wait for something to read; <see cref="OnReadable"/> is called once.</summary>
    /// <returns>False if there is something to read already.</returns>
    public bool TryAwaitReadable() => TryAwait(ref _readable);

    /// <summary>Waits for the next round, after <see cref="HasUsedItsReadBudget"/>; <see cref="OnReadable"/> is called once.</summary>
    public void Yield()
    {
        Volatile.Write(ref _readable, Awaited);
        EventLoop.Current!.Yield(this);
    }

    /// <summary>Begins to wait for room to write; <see cref="OnWritable"/> is called once.</summary>
    /// <returns>False where there is room already.</returns>
    public bool TryAwaitWritable() => TryAwait(ref _writable);

    /// <summary>Ends a wait for something to read; the caller that gets true must do what <see cref="OnReadable"/> would.</summary>
    public bool TryClaimReadable() => Interlocked.Exchange(ref _readable, Ready) == Awaited;

    /// <summary>Ends a wait for room to write; the caller that gets true must do what <see cref="OnWritable"/> would.</summary>
    public bool TryClaimWritable() => Interlocked.Exchange(ref _writable, Ready) == Awaited;

    /// <summary>Cancels a wait for something to read, without a callback.</summary>
    protected bool TryUnawaitReadable() => Interlocked.CompareExchange(ref _readable, NotReady, Awaited) == Awaited;

    /// <summary>Must be called before a read, so that no event between it and the next wait is lost.</summary>
    /// <returns>False where there is nothing to read.</returns>
    protected bool TryBeginReading() => IsReadable && Interlocked.Exchange(ref _readable, NotReady) != NotReady;

    /// <summary>Must be called after a read that may have left bytes.</summary>
    protected void MarkReadable() => Volatile.Write(ref _readable, Ready);

    /// <summary>Adds the socket to its loop, before the first wait.</summary>
    protected void Join()
    {
        if (_added == 0 && Interlocked.Exchange(ref _added, 1) == 0)
        {
            Loop.Add(this);
        }
    }

    /// <summary>Marks the socket as not writable until the next event, for example while it connects.</summary>
    protected void MarkNotWritable() => Volatile.Write(ref _writable, NotReady);

    /// <summary>The wait for something to read is over.</summary>
    protected abstract void OnReadable();

    /// <summary>The wait for room to write is over.</summary>
    protected abstract void OnWritable();

    /// <summary>The other side has ended its half, or the connection is broken. Called after the other callbacks.</summary>
    /// <param name="isBroken">Whether it was, for example, reset, and not ended in good order.</param>
    protected virtual void OnHangUp(bool isBroken)
    {
    }

    /// <summary>The loop's call, on its thread.</summary>
    internal void OnEvents(uint events)
    {
        if ((events & (Ends | Libc.EpollPri)) != 0)
        {
            _readsToTheEnd = true;
        }
        if ((events & ~Libc.EpollOut) != 0 && TryClaimReadable())
        {
            OnReadable();
        }
        if ((events & (Libc.EpollOut | Libc.EpollHup | Libc.EpollErr)) != 0 && Volatile.Read(ref _writable) != Ready
            && (Interlocked.CompareExchange(ref _writable, NotReady, Awaited) == Awaited || TryClaimWritable()))
        {
            OnWritable();
        }
        if ((events & Ends) != 0)
        {
            OnHangUp((events & Libc.EpollErr) != 0);
        }
    }

    /// <summary>
    /// Continues to read after <see cref="Yield"/>. If that wait has ended in another way, or a new one has begun, the only effect is a
    /// needless read attempt.
    /// </summary>
    internal void Continue()
    {
        if (TryClaimReadable())
        {
            OnReadable();
        }
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
        _isDisposed = true;
        base.Dispose(disposing);
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        if (_added != 0)
        {
            Loop.Remove(this);
        }
        return Libc.Close(handle) == 0;
    }

    private int Query(nuint what)
    {
        try
        {
            return Libc.Query(this, what);
        }
        catch (ObjectDisposedException)
        {
            return 0;
        }
    }

    private bool TryAwait(ref int state)
    {
        if (Interlocked.CompareExchange(ref state, Awaited, NotReady) != NotReady)
        {
            return false;
        }
        Join();
        return !_isDisposed || Interlocked.Exchange(ref state, Ready) != Awaited; // No event will come; the next call throws.
    }

    private int SendOnce(ReadOnlySpan<byte> data, bool moreFollows)
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        fixed (byte* start = data)
        {
            var sent = (int)Libc.Send(this, start, (nuint)data.Length, Libc.DontWait | Libc.NoSignal | (moreFollows ? Libc.More : 0));
            return sent >= 0 ? sent
                : Marshal.GetLastPInvokeError() == Libc.Again ? 0
                : throw Libc.LastError();
        }
    }
}
