using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Upstream.Exchanges;

namespace LoadBalancer.Http.Upstream.Http1;

/// <summary>Reads the response to a probe from a connection of its own, by the same rules as those to requests.</summary>
internal sealed class Http1Probe
{
    private readonly Stream _stream;
    private readonly HeaderLines _lines = new([]);
    private byte[] _buffer = new byte[8 * 1024]; // longer than the longest line of the chunked coding
    private int _start;
    private int _end;

    private Http1Probe(Stream stream) => _stream = stream;

    /// <summary>Reads the head, and the body where that is wanted.</summary>
    /// <param name="stream">The connection, to which the request was written.</param>
    /// <param name="isHead">Whether it was a HEAD request, whose response has no body.</param>
    /// <param name="body">Gets the body.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="MalformedResponseException">It is not valid HTTP/1.x.</exception>
    /// <exception cref="IOException">It is not complete.</exception>
    public static async Task<ResponseHead> ReadAsync(Stream stream, bool isHead, ProbeBody body, CancellationToken cancellationToken)
    {
        var probe = new Http1Probe(stream);
        var head = await probe.ReadHeadAsync(cancellationToken);
        if (!isHead && head.Status is not (204 or 304))
        {
            await probe.ReadBodyAsync(head, body, cancellationToken);
        }
        return head;
    }

    private async Task<ResponseHead> ReadHeadAsync(CancellationToken cancellationToken)
    {
        for (var interim = 0; interim <= Exchange.MaxInterimResponses;)
        {
            var length = ResponseHead.TryParse(_buffer.AsSpan(_start, _end - _start), _lines, out var head);
            _start += length;
            if (length == 0)
            {
                if (!await ReceiveAsync(cancellationToken))
                {
                    throw new IOException("connection closed");
                }
            }
            else if (head.Status >= 200)
            {
                return head;
            }
            else
            {
                interim++;
            }
        }
        throw new MalformedResponseException($"more than {Exchange.MaxInterimResponses} interim responses");
    }

    private async Task ReadBodyAsync(ResponseHead head, ProbeBody body, CancellationToken cancellationToken)
    {
        var chunks = new ChunkedDecoder();
        var left = head.Framing == BodyFraming.ContentLength ? head.ContentLength : long.MaxValue;
        while (!body.IsComplete)
        {
            if (head.Framing == BodyFraming.Chunked)
            {
                Decode(ref chunks, body);
            }
            else
            {
                var count = (int)Math.Min(left, _end - _start);
                body.Add(_buffer.AsSpan(_start, count));
                (_start, left) = (_start + count, left - count);
            }
            if (body.IsComplete || left == 0 || chunks.IsDone)
            {
                return;
            }
            if (!await ReceiveAsync(cancellationToken))
            {
                if (head.Framing == BodyFraming.UntilClose)
                {
                    return;
                }
                throw new IOException("connection closed in the middle of the body");
            }
        }
    }

    private void Decode(ref ChunkedDecoder chunks, ProbeBody body)
    {
        int count;
        while ((count = chunks.Decode(_buffer.AsSpan(_start, _end - _start), out var data, _lines)) > 0)
        {
            body.Add(data);
            _start += count;
        }
    }

    // False where the backend has ended the connection.
    private async ValueTask<bool> ReceiveAsync(CancellationToken cancellationToken)
    {
        _buffer.AsSpan(_start, _end - _start).CopyTo(_buffer);
        (_start, _end) = (0, _end - _start);
        if (_end == _buffer.Length)
        {
            Array.Resize(ref _buffer, _end * 2); // The parser refuses a head that is too large.
        }
        var received = await _stream.ReadAsync(_buffer.AsMemory(_end), cancellationToken);
        _end += received;
        return received > 0;
    }
}
