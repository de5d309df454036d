using LoadBalancer.Http.Upstream.Exchanges;
using LoadBalancer.Transport;

namespace LoadBalancer.Http.Upstream.Http2;

/// <content>What <see cref="Http2Receiver"/> calls for the frames that arrive. All of it needs the lock.</content>
internal sealed partial class Http2Connection
{
    /// <summary>The backend has sent something, so it is there.</summary>
    public void NoteFramesNeedsLock() => _liveness.NoteFrames();

    /// <summary>The backend has sent something about a stream.</summary>
    public void NoteProgressNeedsLock() => _liveness.NoteProgress();

    /// <summary>Returns a stream; null where it has ended.</summary>
    /// <exception cref="Http2ConnectionException">It was never started.</exception>
    public Http2Stream? FindNeedsLock(int id) => _streams.TryFind(id, out var stream) ? stream : null;

    /// <summary>Counts data that has arrived, of any stream, and announces it again.</summary>
    public void CountReceivedNeedsLock(int count)
    {
        _received += count;
        if (_received > ReceiveWindow)
        {
            throw new Http2ConnectionException(Http2Error.FlowControlError, "more data than there is room for");
        }
        if (_received >= ReceiveWindow / 2)
        {
            _sender.AddFrame(FrameType.WindowUpdate, 0, (uint)_received);
            _received = 0;
        }
    }

    /// <summary>The same as <see cref="Announce"/>, for padding, which nobody reads.</summary>
    public void AnnounceNeedsLock(Http2Stream stream)
    {
        if (stream.TakeAnnouncementNeedsLock() is > 0 and var count)
        {
            _sender.AddFrame(FrameType.WindowUpdate, stream.Id, (uint)count);
        }
    }

    /// <summary>The backend has made room on one stream, or (null) on all together.</summary>
    public void AddRoomNeedsLock(Http2Stream? stream, int count, List<Readiness> wake)
    {
        if (stream is null)
        {
            _sendWindow += count;
            if (_sendWindow > int.MaxValue)
            {
                throw new Http2ConnectionException(Http2Error.FlowControlError, "a window that is too large");
            }
            WakeWritersNeedsLock(wake);
        }
        else if (!stream.TryAddRoomNeedsLock(count))
        {
            ResetNeedsLock(stream, Http2Error.FlowControlError, new MalformedResponseException("a window that is too large"), wake);
        }
        else if (HasRoomNeedsLock(stream))
        {
            stream.WakeWriterNeedsLock(wake);
        }
    }

    /// <summary>Takes up one of the backend's settings (RFC 9113 section 6.5.2, RFC 8441 section 3).</summary>
    public void ApplySettingNeedsLock(int id, uint value)
    {
        const int EnablePush = 2, MaxStreams = 3, InitialWindow = 4, MaxFrameSize = 5, MaxHeaderListSize = 6, EnableConnect = 8;
        switch (id)
        {
            case EnablePush when value > 0:
                throw new Http2ConnectionException(Http2Error.ProtocolError, "an invalid ENABLE_PUSH");
            case MaxStreams:
                _streams.Max = _owner.MaxStreams = value;
                break;
            case InitialWindow:
                _streams.ChangeWindow(value);
                break;
            case MaxFrameSize:
                _sender.MaxFrameSize = value is >= 0x4000 and <= 0xff_ffff
                    ? (int)Math.Min(value, 0x1_0000)
                    : throw new Http2ConnectionException(Http2Error.ProtocolError, "an invalid MAX_FRAME_SIZE");
                break;
            case MaxHeaderListSize:
                _owner.MaxHeadSize = value;
                break;
            case EnableConnect:
                TakesExtendedConnect = value == 1;
                break;
        }
    }

    /// <summary>All of a SETTINGS frame was applied.</summary>
    public void AcknowledgeSettingsNeedsLock(List<Readiness> wake)
    {
        CheckAnswersAreTaken("SETTINGS");
        _sender.AddFrame(FrameType.Settings, FrameFlags.Ack, 0, []);
        WakeWritersNeedsLock(wake); // Windows may have grown.
        _hasEndedStreams = true; // More streams may be allowed.
        _hasSettings.TrySetResult();
    }

    /// <summary>Answers a PING.</summary>
    public void AcknowledgePingNeedsLock(ReadOnlySpan<byte> payload)
    {
        CheckAnswersAreTaken("PINGs");
        _sender.AddFrame(FrameType.Ping, FrameFlags.Ack, 0, payload);
    }

    /// <summary>The backend has answered a PING.</summary>
    public void EndPingNeedsLock()
    {
        _liveness.NoteAnswer();
        _hasEndedStreams = true; // Streams may start again.
    }

    /// <summary>The backend processes no stream above the last one.</summary>
    public void GoAwayNeedsLock(int last, List<Readiness> wake)
    {
        _isDraining = _hasEndedStreams = true;
        var refused = new StreamRefusedException("it goes away") { HasServedOthers = last > 0 };
        _streams.RemoveAbove(last).ForEach(stream => stream.FailNeedsLock(refused, wake));
    }

    /// <summary>The backend has reset a stream.</summary>
    public void EndResetNeedsLock(Http2Stream stream, Http2Error code, List<Readiness> wake)
    {
        RemoveNeedsLock(stream);
        stream.FailNeedsLock(
            code == Http2Error.RefusedStream ? new StreamRefusedException("it refused the stream") : new StreamResetException(code), wake);
    }

    /// <summary>Resets a stream.</summary>
    public void ResetNeedsLock(Http2Stream stream, Http2Error code, Exception reason, List<Readiness> wake)
    {
        if (!stream.IsReset && RemoveNeedsLock(stream))
        {
            _sender.AddFrame(FrameType.RstStream, stream.Id, (uint)code);
            stream.FailNeedsLock(reason, wake);
        }
    }

    /// <summary>Removes a stream that both sides have ended.</summary>
    public void EndIfDoneNeedsLock(Http2Stream stream)
    {
        if (stream is { HasSentEnd: true, HasReceivedEnd: true } && RemoveNeedsLock(stream))
        {
            HasServed = true;
        }
    }

    private void CheckAnswersAreTaken(string to)
    {
        if (_sender.IsFull)
        {
            throw new Http2ConnectionException(Http2Error.EnhanceYourCalm, $"{to}, but it does not take the answers");
        }
    }
}
