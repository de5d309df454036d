using System.Buffers;

namespace LoadBalancer.Tasks;

/// <summary>
/// Cuts what is received into lines, wherever the pieces begin and end. A line ends in <c>\n</c> or <c>\r\n</c>. Its memory grows with
/// the lines, and is given back when it is empty.
/// </summary>
/// <param name="longest">The longest line, in bytes without its end.</param>
internal sealed class LineBuffer(int longest) : IDisposable
{
    private const int UsualSize = 8 * 1024;
    private const int LeastRoom = 1024; // to receive into; less is not worth a system call

    private byte[] _bytes = [];
    private int _start;
    private int _end;
    private int _searched; // up to where there is no end of a line

    /// <summary>Whether nothing of a line is there.</summary>
    public bool IsEmpty => _start == _end;

    /// <summary>Whether the line that is there, or as much of it as is there, has more bytes than a line may have. It cannot be taken out.</summary>
    public bool IsTooLong { get; private set; }

    /// <summary>Where to receive into; never empty.</summary>
    public Memory<byte> Room
    {
        get
        {
            if (_bytes.Length - _end < LeastRoom)
            {
                MakeRoom();
            }
            return _bytes.AsMemory(_end);
        }
    }

    /// <summary>So many bytes were received into <see cref="Room"/>.</summary>
    public void Add(int count) => _end += count;

    /// <summary>Takes the next line out; it is valid until <see cref="Room"/> is asked for again.</summary>
    /// <returns>False where there is no whole line, or it is too long.</returns>
    public bool TryTake(out ReadOnlySpan<byte> line)
    {
        var length = _bytes.AsSpan(_searched.._end).IndexOf((byte)'\n');
        var end = length < 0 ? _end : _searched + length;
        line = _bytes.AsSpan(_start..end);
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
        _start = _searched = end + 1;
        return true;
    }

    /// <summary>Gives the memory back, with what is in it.</summary>
    public void Dispose() => Replace([]);

    private void MakeRoom()
    {
        var held = _end - _start;
        if (held == 0 && _bytes.Length == UsualSize)
        {
            (_start, _end, _searched) = (0, 0, 0);
        }
        else if (held + LeastRoom > _bytes.Length || held == 0)
        {
            Replace(ArrayPool<byte>.Shared.Rent(Math.Max(UsualSize, held * 2)));
        }
        else
        {
            Move(_bytes);
        }
    }

    private void Replace(byte[] bytes)
    {
        var before = _bytes;
        Move(bytes);
        if (before.Length > 0)
        {
            ArrayPool<byte>.Shared.Return(before);
        }
    }

    private void Move(byte[] to)
    {
        if (to.Length > 0)
        {
            _bytes.AsSpan(_start.._end).CopyTo(to);
        }
        else
        {
            _end = _start;
        }
        (_bytes, _start, _end, _searched) = (to, 0, _end - _start, _searched - _start);
    }
}
