using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;

namespace LoadBalancer.Transport;

/// <summary>
/// A thread that waits for events of its sockets and handles them, one after the other; one for each core, for the
/// life of the process. Code that waits for a socket continues on this thread, so it must not block.
/// </summary>
[SupportedOSPlatform("linux")]
internal sealed unsafe class EventLoop
{
    // Large batches: one call gets all pending events, and requests that arrive together are handled together.
    private const int BatchSize = 1024;

    // A socket may read this many bytes before the loop's other sockets get their turn: enough that the switch costs little, and done in
    // much less than a millisecond.
    private const int ReadBudget = 256 * 1024;
    private const int LeastSpent = 4 * 1024; // Handling a few bytes takes time too.

    private static readonly EventLoop[] All = [.. Enumerable.Range(0, Environment.ProcessorCount).Select(index => new EventLoop(index))];
    private static int _next;

    [ThreadStatic]
    private static EventLoop? _current;

    private readonly Lock _gate = new(); // guards the slots; nothing is called or locked inside
    private readonly Stack<int> _free = new();
    private readonly Queue<EpollSocket> _yielded = new(); // used by the loop's thread only, like the next two
    private readonly Queue<Action> _afterRound = new();
    private int _budget;
    private long _rounds;
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
    /// Whether the present socket has used its read budget, so that the loop's other sockets come first. Without a budget two fast ends of
    /// a relay could keep the loop busy for ever.
    /// </summary>
    public bool HasUsedItsReadBudget => _budget <= 0;

    /// <summary>Every socket that has joined a loop.</summary>
    public static IEnumerable<EpollSocket> Sockets => All.SelectMany(loop => Volatile.Read(ref loop._sockets)).OfType<EpollSocket>();

    /// <summary>How many rounds with events all loops have had; it does not change while nothing happens.</summary>
    public static long Rounds => All.Sum(loop => Volatile.Read(ref loop._rounds));

    /// <summary>Its number, from 0.</summary>
    public int Index { get; }

    /// <summary>The next loop, in turn.</summary>
    public static EventLoop Next() => All[(uint)Interlocked.Increment(ref _next) % (uint)All.Length];

    /// <summary>Starts to deliver events to the socket, beginning with those that are true already.</summary>
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
            // Slots are reused. The upper half distinguishes an event for this socket from a late one for its predecessor.
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

    /// <summary>Removes a socket that is about to be closed; the kernel removes it when it closes.</summary>
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

    /// <summary>
    /// Ends the events of a socket for which another file stays open (<c>dup(2)</c>): the kernel removes a socket, not a file, when it
    /// closes, and would refuse the next file that gets this one's number.
    /// </summary>
    public void RemoveShared(EpollSocket socket)
    {
        try
        {
            _ = Libc.EpollControl(_epoll, Libc.CtlDelete, socket, null); // fails where it was not added
        }
        catch (ObjectDisposedException)
        {
            // It was closed.
        }
    }

    /// <summary>Reduces the read budget by the bytes read; on the loop's own thread.</summary>
    public void Spend(int bytes) => _budget -= Math.Max(bytes, LeastSpent);

    /// <summary>Handles the socket again in the next round, because it has something to read; on the loop's own thread.</summary>
    public void Yield(EpollSocket socket) => _yielded.Enqueue(socket);

    /// <summary>
    /// Runs an action after all events of this round, so that their results can be sent together; on the loop's own thread.
    /// </summary>
    public void AfterRound(Action action) => _afterRound.Enqueue(action);

    private void Run()
    {
        _current = this;
        var events = (byte*)NativeMemory.Alloc(BatchSize, (nuint)Libc.EventSize);
        while (true)
        {
            var count = Libc.EpollWait(_epoll, events, BatchSize, _yielded.Count > 0 ? 0 : -1);
            if (count > 0)
            {
                Volatile.Write(ref _rounds, _rounds + 1);
            }
            for (var i = 0; i < count; i++) // negative if a signal interrupted the wait
            {
                var @event = events + i * Libc.EventSize;
                var key = Unsafe.ReadUnaligned<ulong>(@event + Libc.EventDataOffset);
                if (Volatile.Read(ref _sockets)[(uint)key] is { } socket && socket.Key == key)
                {
                    _budget = ReadBudget;
                    socket.OnEvents(Unsafe.ReadUnaligned<uint>(@event));
                }
            }
            for (var i = _yielded.Count; i > 0; i--) // One that yields again waits for the next round.
            {
                _budget = ReadBudget;
                _yielded.Dequeue().Continue();
            }
            while (_afterRound.TryDequeue(out var action))
            {
                action();
            }
        }
    }
}
