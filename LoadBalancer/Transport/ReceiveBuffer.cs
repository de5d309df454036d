using System.Buffers;

namespace LoadBalancer.Transport;

/// <summary>
/// The received bytes that were not consumed yet, in one piece of pooled memory: filled at its end, consumed from its start. It grows with
/// the bytes received, never with an announced length; while it is empty its memory can be given back. Used for lines, ZeroMQ messages and
/// Kestrel's requests. A backend's HTTP connection has its own memory, because a read into it is pending while it is parked.
/// </summary>
internal struct ReceiveBuffer()
{
    // In bytes. The pool of arrays would keep hundreds of megabytes of larger ones for good, after peers that send long messages are gone.
    private const int MostPooled = 256 * 1024;

    private byte[] _bytes = [];
    private int _start;
    private int _end;

    /// <summary>How many bytes are unread.</summary>
    public readonly int Length => _end - _start;

    /// <summary>How many bytes of memory it has.</summary>
    public readonly int Capacity => _bytes.Length;

    /// <summary>Whether nothing is unread.</summary>
    public readonly bool IsEmpty => _end == _start;

    /// <summary>What is unread; valid until the next <see cref="Room"/> or <see cref="Release"/>, consumed or not.</summary>
    public readonly ReadOnlyMemory<byte> Memory => _bytes.AsMemory(_start, Length);

    /// <inheritdoc cref="Memory"/>
    public readonly ReadOnlySpan<byte> Span => _bytes.AsSpan(_start, Length);

    /// <inheritdoc cref="Memory"/>
    public readonly ReadOnlySequence<byte> Sequence => new(_bytes, _start, Length);

    /// <summary>The memory to receive into.</summary>
    /// <param name="least">The least room, in bytes; a system call for fewer is not worth it.</param>
    /// <param name="size">How much memory to rent if there is none, or if a long message has left too much.</param>
    public Memory<byte> Room(int least, int size)
    {
        if (_bytes.Length - _end < least || IsEmpty && _bytes.Length > 2 * size)
        {
            MakeRoom(least, size);
        }
        return _bytes.AsMemory(_end);
    }

    /// <summary>This many bytes were received into <see cref="Room"/>.</summary>
    /// <returns>Whether that was all the room there was: more may wait.</returns>
    public bool Advance(int count)
    {
        _end += count;
        return _end == _bytes.Length;
    }

    /// <summary>Drops bytes from the start.</summary>
    public void Consume(int count) => _start += count;

    /// <summary>Removes bytes from the middle; the bytes after them move up.</summary>
    public void Remove(int at, int count)
    {
        _bytes.AsSpan((_start + at + count).._end).CopyTo(_bytes.AsSpan(_start + at));
        _end -= count;
    }

    /// <summary>Gives the memory back, and drops unread bytes.</summary>
    public void Release()
    {
        if (_bytes.Length is > 0 and <= MostPooled)
        {
            ArrayPool<byte>.Shared.Return(_bytes);
        }
        (_bytes, _start, _end) = ([], 0, 0);
    }

    // In place only if at least half becomes free; otherwise every few bytes of a long message would move all of it.
    private void MakeRoom(int least, int size)
    {
        var unread = Length;
        var to = _bytes;
        if (unread > _bytes.Length / 2 || unread + least > _bytes.Length || IsEmpty && _bytes.Length > 2 * size)
        {
            var wanted = Math.Max(Math.Max(size, 2 * unread), unread + least);
            to = wanted <= MostPooled ? ArrayPool<byte>.Shared.Rent(wanted) : GC.AllocateUninitializedArray<byte>(wanted);
        }
        _bytes.AsSpan(_start, unread).CopyTo(to);
        if (to != _bytes)
        {
            Release();
        }
        (_bytes, _start, _end) = (to, 0, unread);
    }
}
