using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;

namespace LoadBalancer.Transport;

/// <summary>
/// A thread that waits for events of its sockets and deals with them, one after the other; there is one for each core, for as long as
/// the process lives. Whatever waits for a socket continues here, so nothing may block.
/// </summary>
[SupportedOSPlatform("linux")]
internal sealed unsafe class EventLoop
{
    // Large batches: what the kernel has to say it says in one call, and requests that came together are dealt with together.
    private const int BatchSize = 1024;

    // So much may be read in one go before it is the others' turn: enough to make the change cost nothing, and over in well under a millisecond.
    private const int Turn = 256 * 1024;
    private const int LeastSpent = 4 * 1024; // What is done with a few bytes takes time too.

    private static readonly EventLoop[] All = [.. Enumerable.Range(0, Environment.ProcessorCount).Select(index => new EventLoop(index))];
    private static int _next;

    [ThreadStatic]
    private static EventLoop? _current;

    private readonly Lock _gate = new();
    private readonly Stack<int> _free = new();
    private readonly Queue<EpollSocket> _yielded = new(); // the loop's thread only, as the next two
    private readonly Queue<Action> _afterRound = new();
    private int _left;
    private readonly int _epoll;
    private EpollSocket?[] _sockets = new EpollSocket?[256]; // by slot; replaced when it grows
    private int _slots;
    private uint _added;

    private EventLoop(int index)
    {
        Index = index;
        _epoll = Libc.EpollCreate(Libc.CloseOnExec);
        if (_epoll < 0)
        {
            throw Libc.LastError();
        }
        new Thread(Run) { IsBackground = true, Name = $"event loop {index}" }.UnsafeStart();
    }

    /// <summary>The loop whose thread this is.</summary>
    public static EventLoop? Current => _current;

    /// <summary>
    /// Whether what this thread is dealing with has read so much that the loop's other sockets come first. Everything continues here,
    /// so two ends that both keep up with us would hold the loop for ever.
    /// </summary>
    public bool HasUsedItsShare => _left <= 0;

    /// <summary>Every socket that waits for anything, or has.</summary>
    public static IEnumerable<EpollSocket> Sockets => All.SelectMany(loop => Volatile.Read(ref loop._sockets)).OfType<EpollSocket>();

    /// <summary>Its number, from 0.</summary>
    public int Index { get; }

    /// <summary>Each of them in turn.</summary>
    public static EventLoop Next() => All[(uint)Interlocked.Increment(ref _next) % (uint)All.Length];

    /// <summary>From now on the socket is told of its events, beginning with those that hold already.</summary>
    public void Add(EpollSocket socket)
    {
        lock (_gate)
        {
            var slot = _free.Count > 0 ? _free.Pop() : _slots++;
            if (slot == _sockets.Length)
            {
                var grown = new EpollSocket?[slot * 2];
                _sockets.CopyTo(grown, 0);
                Volatile.Write(ref _sockets, grown);
            }
            // A slot is used again; an event that was under way for its last user is told from those of this one by the upper half.
            socket.Key = (ulong)++_added << 32 | (uint)slot;
            _sockets[slot] = socket;
        }
        var @event = stackalloc byte[Libc.EventSize];
        Unsafe.WriteUnaligned(@event, Libc.EpollIn | Libc.EpollOut | Libc.EpollPri | Libc.EpollRdHup | Libc.EpollEt);
        Unsafe.WriteUnaligned(@event + Libc.EventDataOffset, socket.Key);
        try
        {
            if (Libc.EpollControl(_epoll, Libc.CtlAdd, socket, @event) < 0)
            {
                throw Libc.LastError();
            }
        }
        catch
        {
            Remove(socket); // closed meanwhile
            throw;
        }
    }

    /// <summary>Forgets a socket that is about to be closed; the kernel forgets it when it is.</summary>
    public void Remove(EpollSocket socket)
    {
        lock (_gate)
        {
            var slot = (int)(uint)socket.Key;
            if (_sockets[slot] == socket)
            {
                _sockets[slot] = null;
                _free.Push(slot);
            }
        }
    }

    /// <summary>So many bytes were read; on the loop's own thread.</summary>
    public void Spend(int bytes) => _left -= Math.Max(bytes, LeastSpent);

    /// <summary>The socket has something to read, but waits until it is its turn again; on the loop's own thread.</summary>
    public void Yield(EpollSocket socket) => _yielded.Enqueue(socket);

    /// <summary>
    /// Does something once this round's events have been dealt with, in order that what they lead to can be done together; on the loop's
    /// own thread.
    /// </summary>
    public void AfterRound(Action action) => _afterRound.Enqueue(action);

    private void Run()
    {
        _current = this;
        var events = (byte*)NativeMemory.Alloc(BatchSize, (nuint)Libc.EventSize);
        while (true)
        {
            var count = Libc.EpollWait(_epoll, events, BatchSize, _yielded.Count > 0 ? 0 : -1);
            for (var i = 0; i < count; i++) // none where a signal came between
            {
                var @event = events + i * Libc.EventSize;
                var key = Unsafe.ReadUnaligned<ulong>(@event + Libc.EventDataOffset);
                if (Volatile.Read(ref _sockets)[(uint)key] is { } socket && socket.Key == key)
                {
                    _left = Turn;
                    socket.OnEvents(Unsafe.ReadUnaligned<uint>(@event));
                }
            }
            for (var i = _yielded.Count; i > 0; i--) // Who yields again waits for the next round.
            {
                _left = Turn;
                _yielded.Dequeue().Continue();
            }
            while (_afterRound.TryDequeue(out var action))
            {
                action();
            }
        }
    }
}
