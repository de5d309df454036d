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

    private readonly HpackDecoder _decoder = new(known);
    private readonly List<Readiness> _wake = [];
    private readonly FrameOrder _order = new();
    private ReceiveBuffer _buffer = new();
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
                    _order.Check(header);
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

    private void Handle(Http2Connection connection, FrameHeader header, ReadOnlySpan<byte> payload)
    {
        switch (header.Type)
        {
            case FrameType.Data:
                HandleData(connection, header, FrameOrder.Unpad(header, payload));
                break;
            case FrameType.Headers or FrameType.Continuation:
                if (_order.TryEndFields(header, payload, out var start, out var block))
                {
                    HandleFields(connection, start, block);
                }
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
                throw FrameOrder.Violation("a push that was not allowed");
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
        _order.HasSettings = true;
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
            throw FrameOrder.Violation("an empty WINDOW_UPDATE");
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
}
