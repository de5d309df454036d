using System.Buffers.Binary;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Upstream.Exchanges;

namespace LoadBalancer.Http.Upstream.Http2;

/// <summary>
/// Asks one question over a connection of its own, and reads the head of the answer by the same rules as those of requests' responses.
/// </summary>
internal sealed class Http2Probe
{
    private const int Question = 1; // its stream
    private const int BufferSize = 32 * 1024; // larger than the largest frame

    private readonly Stream _stream;
    private readonly FrameOrder _order = new();
    private readonly HpackDecoder _decoder = new([]);
    private int _interim;
    private int _status;

    private Http2Probe(Stream stream) => _stream = stream;

    /// <summary>Asks, and returns the status of the answer.</summary>
    /// <param name="stream">A connection on which nothing was sent yet.</param>
    /// <param name="fields">The fields of the request; the pseudo-fields come first.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="MalformedResponseException">The answer is not valid HTTP/2.</exception>
    /// <exception cref="IOException">There is no answer.</exception>
    public static async Task<int> AskAsync(
        Stream stream, IEnumerable<(string Name, string Value)> fields, CancellationToken cancellationToken)
    {
        var probe = new Http2Probe(stream);
        try
        {
            await stream.WriteAsync(RequestOf(fields), cancellationToken);
            return await probe.ReadAsync(cancellationToken);
        }
        catch (Http2ConnectionException e)
        {
            throw new MalformedResponseException(e.Message);
        }
    }

    private static byte[] RequestOf(IEnumerable<(string Name, string Value)> fields)
    {
        using var head = Http2HeadWriter.Write(fields);
        return
        [
            .. Http2Preface.Bytes,
            .. Frame(FrameType.Settings, FrameFlags.None, 0, [0, 2, 0, 0, 0, 0]), // no push
            .. Frame(FrameType.Headers, FrameFlags.EndStream | FrameFlags.EndHeaders, Question, head.Written.Span),
        ];
    }

    private static byte[] Frame(FrameType type, FrameFlags flags, int stream, ReadOnlySpan<byte> payload)
    {
        var frame = new byte[FrameHeader.Size + payload.Length];
        new FrameHeader(payload.Length, type, flags, stream).Write(frame);
        payload.CopyTo(frame.AsSpan(FrameHeader.Size));
        return frame;
    }

    private async Task<int> ReadAsync(CancellationToken cancellationToken)
    {
        var (buffer, count) = (new byte[BufferSize], 0);
        while (true)
        {
            var received = await _stream.ReadAsync(buffer.AsMemory(count), cancellationToken);
            count += received > 0 ? received : throw new IOException("connection closed");
            while (count >= FrameHeader.Size)
            {
                var header = FrameHeader.Read(buffer);
                _order.Check(header);
                var size = FrameHeader.Size + header.Length;
                if (count < size)
                {
                    break;
                }
                if (Handle(header, buffer.AsSpan(FrameHeader.Size, header.Length)) is { } answer)
                {
                    await _stream.WriteAsync(answer, cancellationToken);
                }
                if (_status != 0)
                {
                    return _status;
                }
                count -= size;
                buffer.AsSpan(size, count).CopyTo(buffer);
            }
        }
    }

    // Returns what is to be sent, if anything.
    private byte[]? Handle(FrameHeader header, ReadOnlySpan<byte> payload)
    {
        switch (header.Type)
        {
            case FrameType.Settings when !header.Has(FrameFlags.Ack):
                _order.HasSettings = true;
                return Frame(FrameType.Settings, FrameFlags.Ack, 0, []);
            case FrameType.Ping when !header.Has(FrameFlags.Ack):
                return Frame(FrameType.Ping, FrameFlags.Ack, 0, payload);
            case FrameType.Headers or FrameType.Continuation:
                if (_order.TryEndFields(header, payload, out var start, out var block))
                {
                    HandleFields(start, block);
                }
                return null;
            case FrameType.Data when header.Stream == Question:
                throw new MalformedResponseException("a body before its head");
            case FrameType.PushPromise:
                throw FrameOrder.Violation("a push that was not allowed");
            case FrameType.RstStream when header.Stream == Question:
                throw new IOException($"the stream was reset ({(Http2Error)BinaryPrimitives.ReadUInt32BigEndian(payload)})");
            case FrameType.GoAway when (BinaryPrimitives.ReadInt32BigEndian(payload) & int.MaxValue) < Question:
                throw new IOException($"connection closed after GOAWAY ({(Http2Error)BinaryPrimitives.ReadUInt32BigEndian(payload[4..])})");
            default:
                return null;
        }
    }

    private void HandleFields(FrameHeader start, ReadOnlySpan<byte> block)
    {
        var fields = new FieldSection(isTrailers: false);
        _decoder.Decode(block, fields);
        fields.End();
        if (start.Stream != Question)
        {
            return;
        }
        if (fields.FaultOfHead(start.Has(FrameFlags.EndStream)) is { } fault)
        {
            throw new MalformedResponseException(fault);
        }
        if (fields.Status >= 200)
        {
            _status = fields.Status;
        }
        else if (++_interim > Exchange.MaxInterimResponses)
        {
            throw new MalformedResponseException($"more than {Exchange.MaxInterimResponses} interim responses");
        }
    }
}
