using LoadBalancer.Transport;

namespace LoadBalancer.Tasks;

/// <summary>
/// Cuts what is received into lines, in whatever pieces it arrives. A line ends in <c>\n</c> or <c>\r\n</c>. Its memory grows with the
/// lines, and is given back when it is empty.
/// </summary>
/// <param name="longest">The longest line, in bytes without its end.</param>
internal sealed class LineBuffer(int longest) : IDisposable
{
    private const int UsualSize = 8 * 1024;
    private const int LeastRoom = 1024;

    private ReceiveBuffer _received = new();
    private int _searched; // of what is unread: so many bytes hold no end of a line

    /// <summary>Whether nothing of a line is there.</summary>
    public bool IsEmpty => _received.IsEmpty;

    /// <summary>
    /// Whether the line that is there, or as much of it as is there, is longer than a line may be. It cannot be taken out.
    /// </summary>
    public bool IsTooLong { get; private set; }

    /// <summary>How many bytes of memory it has for a line that is longer than usual; 0 for others.</summary>
    public int Excess => _received.Capacity > 2 * UsualSize ? _received.Capacity : 0;

    /// <summary>Where to receive into; never empty.</summary>
    public Memory<byte> Room => _received.Room(LeastRoom, UsualSize);

    /// <summary>So many bytes were received into <see cref="Room"/>.</summary>
    public void Add(int count) => _received.Advance(count);

    /// <summary>Takes the next line out; it is valid until <see cref="Room"/> is asked for again.</summary>
    /// <returns>False where there is no whole line, or it is too long.</returns>
    public bool TryTake(out ReadOnlySpan<byte> line)
    {
        var unread = _received.Span;
        var length = unread[_searched..].IndexOf((byte)'\n');
        var end = length < 0 ? unread.Length : _searched + length;
        line = unread[..end];
        if (line is [.., (byte)'\r'])
        {
            line = line[..^1]; // where the line is not whole, it may be the first half of its end
        }
        IsTooLong = line.Length > longest;
        if (length < 0 || IsTooLong)
        {
            _searched = end;
            return false;
        }
        _received.Consume(end + 1);
        _searched = 0;
        return true;
    }

    /// <summary>Gives the memory back, with what is in it.</summary>
    public void Dispose()
    {
        _received.Release();
        _searched = 0;
    }
}
