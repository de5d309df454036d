using System.Diagnostics.CodeAnalysis;

namespace LoadBalancer.Http.Upstream.Http2;

/// <summary>A connection's streams. With the connection's lock.</summary>
/// <param name="max">How many the backend accepts, as far as it is known.</param>
internal sealed class StreamTable(long max)
{
    private const int DefaultWindow = 65_535;

    private readonly Dictionary<int, Http2Stream> _streams = [];
    private int _nextId = 1;
    private int _window = DefaultWindow;

    /// <summary>How many there are; without the lock only roughly.</summary>
    public int Count => _streams.Count;

    /// <summary>How many the backend accepts at the same time.</summary>
    public long Max { get; set; } = max;

    /// <summary>How many may be started now.</summary>
    public int Free => (int)Math.Clamp(Max - _streams.Count, 0, int.MaxValue);

    /// <summary>Whether the numbers of streams are used up (RFC 9113 section 5.1.1).</summary>
    public bool IsUsedUp => _nextId < 0;

    /// <summary>All streams.</summary>
    public IReadOnlyCollection<Http2Stream> All => _streams.Values;

    /// <summary>Starts a stream.</summary>
    public void Start(Http2Connection connection, Http2Stream stream, bool isEnd)
    {
        stream.Start(connection, _nextId, _window, isEnd);
        _streams.Add(_nextId, stream);
        _nextId = unchecked(_nextId + 2);
    }

    /// <summary>Whether a stream was started, and has not ended.</summary>
    /// <exception cref="Http2ConnectionException">It was never started.</exception>
    public bool TryFind(int id, [NotNullWhen(true)] out Http2Stream? stream) =>
        _streams.TryGetValue(id, out stream) ? true
        : (id & 1) == 1 && (uint)id < (uint)_nextId ? false
        : throw new Http2ConnectionException(Http2Error.ProtocolError, "a frame of a stream that was never started");

    /// <summary>Removes a stream.</summary>
    /// <returns>False where it was removed before.</returns>
    public bool Remove(Http2Stream stream) => _streams.Remove(stream.Id);

    /// <summary>Removes all streams above a number, and returns them.</summary>
    public List<Http2Stream> RemoveAbove(int id)
    {
        var removed = _streams.Values.Where(stream => stream.Id > id).ToList();
        removed.ForEach(stream => _streams.Remove(stream.Id));
        return removed;
    }

    /// <summary>The backend has changed the window with which streams start; it holds for those that there are too.</summary>
    /// <exception cref="Http2ConnectionException">It is too large (RFC 9113 section 6.9.2).</exception>
    public void ChangeWindow(uint size)
    {
        var more = (long)size - _window;
        if (size > int.MaxValue || _streams.Values.Any(stream => stream.SendWindow + more > int.MaxValue))
        {
            throw new Http2ConnectionException(Http2Error.FlowControlError, "an invalid INITIAL_WINDOW_SIZE");
        }
        _window = (int)size;
        foreach (var stream in _streams.Values)
        {
            stream.TryAddRoomNeedsLock((int)more);
        }
    }
}
