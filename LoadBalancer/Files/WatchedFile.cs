namespace LoadBalancer.Files;

/// <summary>
/// What is in a file; read again within a few seconds after it has changed. A file that is gone or not valid then leaves what was there.
/// </summary>
/// <typeparam name="T">What is made of the file.</typeparam>
internal sealed partial class WatchedFile<T> : IDisposable
    where T : class
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(2);

    private readonly string _path;
    private readonly Func<byte[], T> _read;
    private readonly ILogger _logger;
    private readonly ITimer _timer;
    private (DateTime WrittenAt, long Length) _seen;
    private bool _mustRetry; // What kept it from being read may pass without a change of the file.
    private volatile T _content;

    /// <summary>Reads the file.</summary>
    /// <param name="path">Where it is.</param>
    /// <param name="read">Makes the content; throws a <see cref="FormatException"/> where it is not valid.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Gets each change.</param>
    /// <exception cref="IOException">It cannot be read.</exception>
    /// <exception cref="FormatException">It is not valid.</exception>
    public WatchedFile(string path, Func<byte[], T> read, TimeProvider time, ILogger logger)
    {
        (_path, _read, _logger) = (path, read, logger);
        _seen = Stamp();
        _content = read(File.ReadAllBytes(path));
        // The timer does not keep what nobody uses any more.
        var self = new WeakReference<WatchedFile<T>>(this);
        _timer = time.CreateTimer(
            static state =>
            {
                if (((WeakReference<WatchedFile<T>>)state!).TryGetTarget(out var file))
                {
                    file.Refresh();
                }
            },
            self, Interval, Interval);
    }

    /// <summary>Stops the timer of a file that nobody uses any more.</summary>
    ~WatchedFile() => _timer?.Dispose();

    /// <summary>What is in it.</summary>
    public T Content => _content;

    /// <summary>Called after the content has changed, on a thread of the pool; must not throw. Default null.</summary>
    public Action? Changed { get; set; }

    /// <inheritdoc/>
    public void Dispose()
    {
        GC.SuppressFinalize(this);
        _timer.Dispose();
    }

    private void Refresh()
    {
        var isNew = false;
        try
        {
            var stamp = Stamp();
            isNew = stamp != _seen;
            if (!isNew && !_mustRetry)
            {
                return;
            }
            _seen = stamp;
            _content = _read(File.ReadAllBytes(_path));
            _mustRetry = false;
            LogRead(_path);
            Changed?.Invoke();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or FormatException)
        {
            _mustRetry = e is not FormatException;
            if (isNew)
            {
                LogKept(_path, e.Message);
            }
        }
    }

    private (DateTime WrittenAt, long Length) Stamp()
    {
        var file = new FileInfo(_path);
        // Of a link, the file where it leads: a volume of Kubernetes replaces that, and never the link.
        file = file.LinkTarget is null ? file : (FileInfo)file.ResolveLinkTarget(returnFinalTarget: true)!;
        return (file.LastWriteTimeUtc, file.Exists ? file.Length : -1);
    }

    [LoggerMessage(140, LogLevel.Information, "'{File}' has changed and is used as it is now")]
    private partial void LogRead(string file);

    [LoggerMessage(141, LogLevel.Warning, "'{File}' has changed and cannot be used ({Reason}); what was there before stays in use")]
    private partial void LogKept(string file, string reason);
}
