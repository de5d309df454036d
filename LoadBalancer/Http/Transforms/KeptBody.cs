using System.Buffers;

namespace LoadBalancer.Http.Transforms;

/// <summary>A request's body that is kept while it is sent to a backend, for a copy of the request.</summary>
internal sealed class KeptBody
{
    /// <summary>The largest body that is kept, in bytes.</summary>
    public const int MaxSize = 64 * 1024;

    private readonly TaskCompletionSource<ReadOnlyMemory<byte>?> _end = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ArrayBufferWriter<byte>? _data = new();

    /// <summary>The whole body, once it has ended; null where it is too large, or will not come to its end.</summary>
    public Task<ReadOnlyMemory<byte>?> Whole => _end.Task;

    /// <summary>Whether it is larger than <see cref="MaxSize"/>.</summary>
    public bool IsTooLarge { get; private set; }

    /// <summary>A part of the body was sent. Each comes once, also where the request is sent again.</summary>
    public void Add(ReadOnlySpan<byte> part)
    {
        if (_data is null)
        {
            return;
        }
        if (_data.WrittenCount + part.Length > MaxSize)
        {
            (_data, IsTooLarge) = (null, true);
            GiveUp();
            return;
        }
        _data.Write(part);
    }

    /// <summary>The body has ended.</summary>
    public void End()
    {
        if (_data is not null)
        {
            _end.TrySetResult(_data.WrittenMemory);
        }
    }

    /// <summary>The rest of the body will not come.</summary>
    public void GiveUp() => _end.TrySetResult(null);
}
