using System.Buffers;
using System.IO.Pipelines;
using Microsoft.AspNetCore.ResponseCompression;

namespace LoadBalancer.Http.Upstream.Exchanges;

/// <summary>
/// A response's body that is compressed on its way to the client. Each flush sends all that was written before it, so that a slow body
/// arrives piece by piece. Disposing it before <see cref="EndAsync"/> leaves a body without its end.
/// </summary>
internal sealed class CompressedBody : PipeWriter, IDisposable
{
    private const int SmallestBuffer = 4 * 1024;

    // A body without a byte, which the framework's stream leaves out (RFC 1952 section 2.3).
    private static readonly byte[] EmptyGzip = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    private readonly HttpResponse _response;
    private readonly PipeWriter _to;
    private readonly bool _isFramed;
    private readonly bool _isSlow;
    private readonly Output _output;
    private readonly Stream _encoder;
    private byte[]? _buffer = []; // what was written since the last flush
    private int _count;
    private long _left;
    private bool _hasEnded;

    /// <summary>Begins it; the framing is announced in the response's head.</summary>
    /// <param name="response">The response.</param>
    /// <param name="coding">Compresses the body.</param>
    /// <param name="length">The length of what will be written, if it is known.</param>
    /// <param name="isSlow">Whether it takes so long that an event loop must not do it.</param>
    public CompressedBody(HttpResponse response, ICompressionProvider coding, long? length, bool isSlow)
    {
        (_response, _to, _left, _isSlow) = (response, response.BodyWriter, length ?? long.MaxValue, isSlow);
        _isFramed = ClientFraming.BeginChunked(response);
        _output = new Output(_to, _isFramed);
        _encoder = coding.CreateStream(_output);
    }

    /// <summary>How many bytes of the compressed body were written.</summary>
    public long BytesSent => _output.Count;

    /// <summary>Whether all was written that the length announces: it is sent with the end, and need not be flushed before.</summary>
    public bool HasAll => _left == 0;

    /// <inheritdoc/>
    public override Memory<byte> GetMemory(int sizeHint = 0)
    {
        ObjectDisposedException.ThrowIf(_buffer is null, this);
        var needed = _count + Math.Max(sizeHint, SmallestBuffer);
        if (_buffer.Length < needed)
        {
            var larger = ArrayPool<byte>.Shared.Rent(needed);
            _buffer.AsSpan(0, _count).CopyTo(larger);
            ReturnBuffer();
            _buffer = larger;
        }
        return _buffer.AsMemory(_count);
    }

    /// <inheritdoc/>
    public override Span<byte> GetSpan(int sizeHint = 0) => GetMemory(sizeHint).Span;

    /// <inheritdoc/>
    public override void Advance(int bytes)
    {
        _count += bytes;
        _left -= bytes;
    }

    /// <inheritdoc/>
    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default)
    {
        if (_count == 0)
        {
            return _to.FlushAsync(cancellationToken); // The head need not wait for the body.
        }
        if (_isSlow)
        {
            return EncodeAndFlushAsync(cancellationToken);
        }
        Encode(isEnd: false);
        return _to.FlushAsync(cancellationToken);
    }

    /// <summary>Ends the body, with the trailers where the client accepts them; no effect after the first time.</summary>
    public async ValueTask EndAsync(IEnumerable<(string Name, string Value)> trailers)
    {
        if (_hasEnded)
        {
            return;
        }
        _hasEnded = true;
        if (_isSlow)
        {
            await Task.Run(() => Encode(isEnd: true));
        }
        else
        {
            Encode(isEnd: true);
        }
        ClientFraming.WriteTrailers(trailers, _response, _isFramed);
    }

    /// <inheritdoc/>
    public override void CancelPendingFlush() => _to.CancelPendingFlush();

    /// <inheritdoc/>
    public override void Complete(Exception? exception = null) => Dispose();

    /// <summary>Releases what it uses. What was not flushed is dropped, and so is the end.</summary>
    public void Dispose()
    {
        if (_buffer is not null)
        {
            ReturnBuffer();
            _buffer = null;
            _output.IsClosed = true;
            _encoder.Dispose();
        }
    }

    private async ValueTask<FlushResult> EncodeAndFlushAsync(CancellationToken cancellationToken)
    {
        await Task.Run(() => Encode(isEnd: false), CancellationToken.None);
        return await _to.FlushAsync(cancellationToken);
    }

    // Never waits: the output is the memory of the response.
    private void Encode(bool isEnd)
    {
        ObjectDisposedException.ThrowIf(_buffer is null, this);
        _encoder.Write(_buffer, 0, _count);
        _count = 0;
        if (isEnd)
        {
            _encoder.Dispose(); // Writes the end.
            if (_output.Count == 0)
            {
                _output.Write(EmptyGzip);
            }
        }
        else
        {
            _encoder.Flush();
        }
    }

    private void ReturnBuffer()
    {
        if (_buffer is { Length: > 0 })
        {
            ArrayPool<byte>.Shared.Return(_buffer);
        }
    }

    /// <summary>What the encoder writes to.</summary>
    private sealed class Output(PipeWriter to, bool isFramed) : Stream
    {
        public long Count { get; private set; }

        public bool IsClosed { get; set; }

        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override void Write(ReadOnlySpan<byte> buffer)
        {
            if (!IsClosed && !buffer.IsEmpty)
            {
                ClientFraming.WritePiece(to, buffer, isFramed);
                Count += buffer.Length;
            }
        }

        public override void Write(byte[] buffer, int offset, int count) => Write(buffer.AsSpan(offset, count));

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();
    }
}
