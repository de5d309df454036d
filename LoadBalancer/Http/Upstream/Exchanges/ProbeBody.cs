using System.Buffers;

namespace LoadBalancer.Http.Upstream.Exchanges;

/// <summary>The begin of a response's body, for a probe.</summary>
/// <param name="limit">How much of it is wanted, in bytes; 0: nothing.</param>
/// <param name="awaited">What need not be followed by more; empty: all is wanted, up to the limit.</param>
internal sealed class ProbeBody(int limit, ReadOnlyMemory<byte> awaited)
{
    private readonly ArrayBufferWriter<byte> _bytes = new();

    /// <summary>What was read.</summary>
    public ReadOnlyMemory<byte> Written => _bytes.WrittenMemory;

    /// <summary>Whether no more is wanted.</summary>
    public bool IsComplete { get; private set; } = limit == 0;

    /// <summary>Adds the next part; what is beyond the limit is left out.</summary>
    public void Add(ReadOnlySpan<byte> part)
    {
        // Only where the new part may have completed it: a body that comes byte by byte must not be searched as often.
        var from = Math.Max(0, _bytes.WrittenCount - awaited.Length + 1);
        _bytes.Write(part[..Math.Min(part.Length, limit - _bytes.WrittenCount)]);
        IsComplete |= _bytes.WrittenCount == limit || awaited.Length > 0 && _bytes.WrittenSpan[from..].IndexOf(awaited.Span) >= 0;
    }
}
