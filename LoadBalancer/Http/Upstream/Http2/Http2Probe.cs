using System.Buffers.Binary;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Upstream.Exchanges;

namespace LoadBalancer.Http.Upstream.Http2;

/// <summary>
/// Asks one question over a connection of its own, and reads the answer by the same rules as requests' responses. It has no flow control
/// beyond its first window, which is larger than any body that is wanted.
/// </summary>
internal sealed class Http2Probe
{
    private const int Question = 1; // its stream
    private const int BufferSize = 32 * 1024; // larger than the largest frame

    private const int Window = 256 * 1024; // in place of 64 KiB - 1

    private readonly Stream _stream;
    private readonly ProbeBody _body;
    private readonly Dictionary<string, string> _fields;
    private readonly FrameOrder _order = new();
    private readonly HpackDecoder _decoder = new([]);
    private int _interim;
    private int _status;
    private bool _isEnded;

    private Http2Probe(Stream stream, ProbeBody body, Dictionary<string, string> fields) =>
        (_stream, _body, _fields) = (stream, body, fields);

    /// <summary>Asks, and returns the status of the answer.</summary>
    /// <param name="stream">A connection on which nothing was sent yet.</param>
    /// <param name="request">The fields of the request; the pseudo-fields come first.</param>
    /// <param name="content">The body of the request; smaller than any window.</param>
    /// <param name="body">Gets the body; if none is wanted, only the head is read.</param>
    /// <param name="fields">Gets the fields of the head and the trailers, if a body is wanted.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <exception cref="MalformedResponseException">The answer is not valid HTTP/2.</exception>
    /// <exception cref="IOException">There is no answer.</exception>
    public static async Task<int> AskAsync(
        Stream stream, IEnumerable<(string Name, string Value)> request, ReadOnlyMemory<byte> content, ProbeBody body,
        Dictionary<string, string> fields, CancellationToken cancellationToken)
    {
        var probe = new Http2Probe(stream, body, fields);
        try
        {
            await stream.WriteAsync(RequestOf(request, content.Span), cancellationToken);
            return await probe.ReadAsync(cancellationToken);
        }
        catch (Http2ConnectionException e)
        {
            throw new MalformedResponseException(e.Message);
        }
    }

    private static byte[] RequestOf(IEnumerable<(string Name, string Value)> request, ReadOnlySpan<byte> content)
    {
        using var head = Http2HeadWriter.Write(request);
        var isHeadOnly = content.IsEmpty ? FrameFlags.EndStream : FrameFlags.None;
        Span<byte> settings = [0, 2, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]; // no push; the window of a stream
        Span<byte> more = stackalloc byte[4];
        BinaryPrimitives.WriteInt32BigEndian(settings[8..], Window);
        BinaryPrimitives.WriteInt32BigEndian(more, Window - ushort.MaxValue);
        return
        [
            .. Http2Preface.Bytes,
            .. Frame(FrameType.Settings, FrameFlags.None, 0, settings),
            .. Frame(FrameType.WindowUpdate, FrameFlags.None, 0, more),
            .. Frame(FrameType.Headers, isHeadOnly | FrameFlags.EndHeaders, Question, head.Written.Span),
            .. content.IsEmpty ? [] : Frame(FrameType.Data, FrameFlags.EndStream, Question, content),
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
                if (_status != 0 && (_isEnded || _body.IsComplete))
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
                HandleData(header, payload);
                return null;
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

    private void HandleData(FrameHeader header, ReadOnlySpan<byte> payload)
    {
        if (_status == 0)
        {
            throw new MalformedResponseException("a body before its head");
        }
        _body.Add(FrameOrder.Unpad(header, payload));
        _isEnded = header.Has(FrameFlags.EndStream);
    }

    private void HandleFields(FrameHeader start, ReadOnlySpan<byte> block)
    {
        var fields = new FieldSection(isTrailers: start.Stream == Question && _status != 0);
        _decoder.Decode(block, fields);
        fields.End();
        if (start.Stream != Question)
        {
            return;
        }
        var isEnd = start.Has(FrameFlags.EndStream);
        if ((fields.IsTrailers ? fields.Fault ?? (isEnd ? null : "trailers that do not end it") : fields.FaultOfHead(isEnd)) is { } fault)
        {
            throw new MalformedResponseException(fault);
        }
        if (!fields.IsTrailers && fields.Status < 200)
        {
            if (++_interim > Exchange.MaxInterimResponses)
            {
                throw new MalformedResponseException($"more than {Exchange.MaxInterimResponses} interim responses");
            }
            return;
        }
        _status = fields.IsTrailers ? _status : fields.Status;
        _isEnded = isEnd;
        if (!_body.IsComplete)
        {
            foreach (var (name, value) in fields.Lines.Trailers())
            {
                _fields[name] = value;
            }
        }
    }
}
