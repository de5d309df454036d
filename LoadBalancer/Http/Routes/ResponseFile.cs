namespace LoadBalancer.Http.Routes;

/// <summary>The content of a file that is sent as a response. It is read again, at most once a second, where it has changed.</summary>
internal sealed class ResponseFile
{
    private const long CheckIntervalMilliseconds = 1000;

    private readonly string _path;
    private volatile byte[] _content;
    private DateTime _writtenAt;
    private long _checkedAt;

    /// <summary>Reads the file.</summary>
    /// <exception cref="IOException">It cannot be read.</exception>
    public ResponseFile(string path)
    {
        _path = path;
        _writtenAt = File.GetLastWriteTimeUtc(path);
        _content = File.ReadAllBytes(path);
        _checkedAt = Environment.TickCount64;
    }

    /// <summary>What is in it.</summary>
    public byte[] Content
    {
        get
        {
            var (now, before) = (Environment.TickCount64, Volatile.Read(ref _checkedAt));
            if (now - before >= CheckIntervalMilliseconds && Interlocked.CompareExchange(ref _checkedAt, now, before) == before)
            {
                // Not here: this may be an event loop's thread.
                ThreadPool.UnsafeQueueUserWorkItem(static file => file.Refresh(), this, preferLocal: false);
            }
            return _content;
        }
    }

    // A file that cannot be read now, or is being written, leaves the content as it was.
    private void Refresh()
    {
        try
        {
            var writtenAt = File.GetLastWriteTimeUtc(_path);
            if (writtenAt != _writtenAt)
            {
                _content = File.ReadAllBytes(_path);
                _writtenAt = writtenAt;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It is tried again.
        }
    }
}
