using System.Buffers;
using System.Buffers.Binary;
using System.Net.Sockets;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Upstream.Exchanges;
using LoadBalancer.Transport;

namespace LoadBalancer.Http.Upstream.Http2;

/// <summary>
/// Receives a connection's frames, and gives them to its streams. All frames that have arrived together are handled before the first
/// waiting request goes on, so that a short response is seen as a whole.
/// </summary>
/// <param name="known">See <see cref="HpackDecoder"/>.</param>
internal sealed class Http2Receiver(HeaderLine?[] known)
{
    private const int ReceiveSize = 64 * 1024;
    private const int LeastRoom = 4 * 1024;
    private const int MaxFrameSize = 16 * 1024; // the default of SETTINGS_MAX_FRAME_SIZE

    // A field section need not come in more frames than this; without a limit empty ones could follow each other for ever.
    private const int MaxContinuations = 64;

    private readonly HpackDecoder _decoder = new(known);
    private readonly List<Readiness> _wake = [];
    private readonly ArrayBufferWriter<byte> _block = new(); // of a field section that comes in several frames
    private ReceiveBuffer _buffer = new();
    private FrameHeader? _blockStart;
    private int _continuations;
    private bool _hasSettings;
    private Http2Error? _goAway;

    /// <summary>Receives until the connection ends, or the backend violates the protocol. Then the connection is closed.</summary>
    public async Task RunAsync(Http2Connection connection, IConnection from)
    {
        Exception reason;
        Http2Error? code = null;
        try
        {
            int count;
            do
            {
                if (_buffer.IsEmpty && connection.Streams == 0)
                {
                    _buffer.Release(); // An idle connection needs no memory.
                    await from.ReceiveAsync(default);
                }
                count = await from.ReceiveAsync(_buffer.Room(LeastRoom, ReceiveSize));
                _buffer.Advance(count);
                Handle(connection);
            }
            while (count > 0);
            (reason, code) = (new IOException("connection closed" + Farewell()), Http2Error.NoError);
        }
        catch (Http2ConnectionException e)
        {
            (reason, code) = (new MalformedResponseException(e.Message), e.Code);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or IOException)
        {
            reason = _goAway is null ? e : new IOException("connection closed" + Farewell(), e);
        }
        _buffer.Release();
        connection.Close(reason, code, isSuspect: _goAway is not Http2Error.NoError);
    }

    private string Farewell() => _goAway is { } code ? $" after GOAWAY ({code})" : "";

    private void Handle(Http2Connection connection)
    {
        try
        {
            lock (connection.Gate)
            {
                connection.NoteFramesNeedsLock();
                while (_buffer.Length >= FrameHeader.Size)
                {
                    var header = FrameHeader.Read(_buffer.Span);
                    Check(header);
                    if (_buffer.Length < FrameHeader.Size + header.Length)
                    {
                        break;
                    }
                    Handle(connection, header, _buffer.Span.Slice(FrameHeader.Size, header.Length));
                    _buffer.Consume(FrameHeader.Size + header.Length);
                }
            }
        }
        finally
        {
            connection.Flush();
            foreach (var wait in _wake)
            {
                wait.Set();
            }
            _wake.Clear();
        }
        connection.AfterEnd();
    }

    // Before the payload is there.
    private void Check(FrameHeader header)
    {
        if (!_hasSettings && (header.Type != FrameType.Settings || header.Has(FrameFlags.Ack)))
        {
            throw Violation("it does not begin with SETTINGS, so it does not speak HTTP/2");
        }
        if (header.Length > MaxFrameSize)
        {
            throw new Http2ConnectionException(Http2Error.FrameSizeError, "a frame that is too large");
        }
        if (_blockStart is { } start && (header.Type != FrameType.Continuation || header.Stream != start.Stream))
        {
            throw Violation("a frame in the middle of a field section");
        }
        var isOfStream = header.Type is FrameType.Data or FrameType.Headers or FrameType.Priority or FrameType.RstStream
            or FrameType.Continuation;
        var isOfConnection = header.Type is FrameType.Settings or FrameType.Ping or FrameType.GoAway;
        if (isOfStream && header.Stream == 0 || isOfConnection && header.Stream != 0)
        {
            throw Violation("a frame with a wrong stream");
        }
        var isSizeWrong = header.Type switch
        {
            FrameType.Priority => header.Length != 5,
            FrameType.RstStream or FrameType.WindowUpdate => header.Length != 4,
            FrameType.Settings => header.Length % 6 != 0 || header.Has(FrameFlags.Ack) && header.Length > 0,
            FrameType.Ping => header.Length != 8,
            FrameType.GoAway => header.Length < 8,
            _ => false,
        };
        if (isSizeWrong)
        {
            throw new Http2ConnectionException(Http2Error.FrameSizeError, $"a {header.Type} frame of the wrong size");
        }
    }

    private void Handle(Http2Connection connection, FrameHeader header, ReadOnlySpan<byte> payload)
    {
        switch (header.Type)
        {
            case FrameType.Data:
                HandleData(connection, header, Unpad(header, payload));
                break;
            case FrameType.Headers:
                payload = Unpad(header, payload);
                if (header.Has(FrameFlags.Priority))
                {
                    payload = payload.Length >= 5 ? payload[5..] : throw Violation("a HEADERS frame that is too short");
                }
                BeginFields(connection, header, payload);
                break;
            case FrameType.Continuation:
                ContinueFields(connection, header, payload);
                break;
            case FrameType.RstStream:
                if (connection.FindNeedsLock(header.Stream) is { } reset)
                {
                    connection.EndResetNeedsLock(reset, (Http2Error)BinaryPrimitives.ReadUInt32BigEndian(payload), _wake);
                }
                break;
            case FrameType.Settings:
                HandleSettings(connection, header, payload);
                break;
            case FrameType.PushPromise:
                throw Violation("a push that was not allowed");
            case FrameType.Ping when header.Has(FrameFlags.Ack):
                connection.EndPingNeedsLock();
                break;
            case FrameType.Ping:
                connection.AcknowledgePingNeedsLock(payload);
                break;
            case FrameType.GoAway:
                _goAway = (Http2Error)BinaryPrimitives.ReadUInt32BigEndian(payload[4..]);
                connection.GoAwayNeedsLock(BinaryPrimitives.ReadInt32BigEndian(payload) & int.MaxValue, _wake);
                break;
            case FrameType.WindowUpdate:
                HandleWindowUpdate(connection, header, BinaryPrimitives.ReadInt32BigEndian(payload) & int.MaxValue);
                break;
        }
    }

    private static ReadOnlySpan<byte> Unpad(FrameHeader header, ReadOnlySpan<byte> payload)
    {
        if (!header.Has(FrameFlags.Padded))
        {
            return payload;
        }
        return payload.Length > 0 && payload[0] < payload.Length
            ? payload[1..^payload[0]]
            : throw Violation("padding that is longer than its frame");
    }

    private void HandleData(Http2Connection connection, FrameHeader header, ReadOnlySpan<byte> data)
    {
        connection.NoteProgressNeedsLock();
        connection.CountReceivedNeedsLock(header.Length);
        if (connection.FindNeedsLock(header.Stream) is not { } stream)
        {
            return; // It was reset before this came.
        }
        var fault = stream.AddDataNeedsLock(data, header.Length, _wake);
        if (fault is null && header.Has(FrameFlags.EndStream))
        {
            fault = stream.EndNeedsLock(_wake) is { } reason ? (Http2Error.ProtocolError, reason) : null;
        }
        End(connection, stream, fault);
        if (header.Has(FrameFlags.Padded))
        {
            connection.AnnounceNeedsLock(stream);
        }
    }

    private void BeginFields(Http2Connection connection, FrameHeader header, ReadOnlySpan<byte> block)
    {
        if (header.Has(FrameFlags.EndHeaders))
        {
            HandleFields(connection, header, block);
            return;
        }
        (_blockStart, _continuations) = (header, 0);
        _block.ResetWrittenCount();
        _block.Write(block);
    }

    private void ContinueFields(Http2Connection connection, FrameHeader header, ReadOnlySpan<byte> block)
    {
        if (_blockStart is not { } start)
        {
            throw Violation("a CONTINUATION without a beginning");
        }
        if (++_continuations > MaxContinuations || _block.WrittenCount + block.Length > FieldSection.MaxSize)
        {
            throw new Http2ConnectionException(Http2Error.EnhanceYourCalm, $"its head is larger than {FieldSection.MaxSize} bytes");
        }
        _block.Write(block);
        if (header.Has(FrameFlags.EndHeaders))
        {
            _blockStart = null;
            HandleFields(connection, start, _block.WrittenSpan);
        }
    }

    private void HandleFields(Http2Connection connection, FrameHeader start, ReadOnlySpan<byte> block)
    {
        connection.NoteProgressNeedsLock();
        var stream = connection.FindNeedsLock(start.Stream);
        var fields = new FieldSection(isTrailers: stream?.Head is not null);
        _decoder.Decode(block, fields);
        fields.End();
        if (stream is null)
        {
            return; // It was reset before this came; the decoder had to see it all the same.
        }
        var isEnd = start.Has(FrameFlags.EndStream);
        var reason = stream.AddFieldsNeedsLock(fields, isEnd, _wake) ?? (isEnd ? stream.EndNeedsLock(_wake) : null);
        End(connection, stream, reason is null ? null : (Http2Error.ProtocolError, reason));
    }

    private void End(Http2Connection connection, Http2Stream stream, (Http2Error Code, string Reason)? fault)
    {
        if (fault is { } known)
        {
            connection.ResetNeedsLock(stream, known.Code, new MalformedResponseException(known.Reason), _wake);
        }
        else
        {
            connection.EndIfDoneNeedsLock(stream);
        }
    }

    private void HandleSettings(Http2Connection connection, FrameHeader header, ReadOnlySpan<byte> payload)
    {
        if (header.Has(FrameFlags.Ack))
        {
            return;
        }
        _hasSettings = true;
        for (; !payload.IsEmpty; payload = payload[6..])
        {
            var (id, value) = (BinaryPrimitives.ReadUInt16BigEndian(payload), BinaryPrimitives.ReadUInt32BigEndian(payload[2..]));
            connection.ApplySettingNeedsLock(id, value);
        }
        connection.AcknowledgeSettingsNeedsLock(_wake);
    }

    private void HandleWindowUpdate(Http2Connection connection, FrameHeader header, int count)
    {
        var stream = header.Stream == 0 ? null : connection.FindNeedsLock(header.Stream);
        if (count == 0 && header.Stream == 0)
        {
            throw Violation("an empty WINDOW_UPDATE");
        }
        if (count == 0 && stream is not null)
        {
            End(connection, stream, (Http2Error.ProtocolError, "an empty WINDOW_UPDATE"));
        }
        else if (header.Stream == 0 || stream is not null)
        {
            connection.AddRoomNeedsLock(stream, count, _wake);
        }
    }

    private static Http2ConnectionException Violation(string what) => new(Http2Error.ProtocolError, what);
}
