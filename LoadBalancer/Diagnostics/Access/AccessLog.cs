using System.Buffers;
using System.Threading.Channels;

namespace LoadBalancer.Diagnostics.Access;

/// <summary>
/// Writes a line for each request, in batches, on a thread that serves no request. A request only leaves its line in memory, in a buffer
/// of the core that it runs on. It never waits: lines that come faster than they can be written are dropped, counted and reported.
/// </summary>
public sealed partial class AccessLog : BackgroundService
{
    private static readonly TimeSpan BatchInterval = TimeSpan.FromMilliseconds(100);

    private static readonly TimeSpan ReportInterval = TimeSpan.FromSeconds(10);

    private readonly LineBuffer[] _buffers;
    private readonly Channel<bool> _wakeUps =
        Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });

    private readonly int _capacity;
    private readonly Func<Stream> _open;
    private readonly string _name;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private Stream _stream;
    private int _isAwake; // 1 from the first line of a batch until the batch is taken
    private bool _mustReopen;
    private long _dropped;
    private long _reported;
    private long? _reportedAt;
    private string? _failure; // of the last write that failed since the last report

    /// <summary>Makes a log, and opens its stream.</summary>
    /// <param name="name">The value of the listener's <c>AccessLog</c>: a file, or <c>Console</c>.</param>
    /// <param name="open">Opens the stream to write to; called again after <see cref="Reopen"/>. Its exceptions pass through.</param>
    /// <param name="time">The clock of the batches and reports.</param>
    /// <param name="logger">Gets a warning when lines were lost, at most once in ten seconds.</param>
    /// <param name="capacity">How many bytes may wait per core; the default holds 100 ms of half a million requests per second.</param>
    public AccessLog(string name, Func<Stream> open, TimeProvider time, ILogger<AccessLog> logger, int capacity = 8 * 1024 * 1024)
    {
        (_name, _open, _time, _logger, _capacity) = (name, open, time, logger, capacity);
        _buffers = [.. Enumerable.Range(0, Environment.ProcessorCount).Select(_ => new LineBuffer())];
        _stream = open();
    }

    /// <summary>Lines that were lost because they came too fast, or could not be written.</summary>
    public long Dropped => Interlocked.Read(ref _dropped);

    /// <summary>Opens the stream of a listener's <c>AccessLog</c> setting.</summary>
    public static Stream Open(string setting) =>
        setting.Equals("Console", StringComparison.OrdinalIgnoreCase) ? Console.OpenStandardOutput() : AppendingFile.Open(setting);

    /// <summary>Takes a record; returns at once.</summary>
    public void Write(AccessRecord record)
    {
        var buffer = _buffers[(uint)Thread.GetCurrentProcessorId() % (uint)_buffers.Length];
        lock (buffer.Gate) // Rarely contended: only with the writer, which swaps two references, and with threads that change cores.
        {
            if (buffer.Lines.WrittenCount >= _capacity)
            {
                Interlocked.Increment(ref _dropped);
                return;
            }
            record.WriteTo(buffer.Lines);
            buffer.Count++;
        }
        if (Volatile.Read(ref _isAwake) == 0 && Interlocked.Exchange(ref _isAwake, 1) == 0)
        {
            _wakeUps.Writer.TryWrite(true);
        }
    }

    /// <summary>
    /// Opens the file anew, soon, because the one that is open may have been renamed. Returns at once. Lines that wait are written to the
    /// new file. Where it cannot be opened the old one stays in use, which is logged.
    /// </summary>
    public void Reopen()
    {
        Volatile.Write(ref _mustReopen, true);
        _wakeUps.Writer.TryWrite(true);
    }

    /// <summary>Writes the last lines: what writes them has stopped before.</summary>
    public override async Task StopAsync(CancellationToken cancellationToken)
    {
        await base.StopAsync(cancellationToken);
        // It is cancelled, and has never run, where the stop comes just after the start.
        if (ExecuteTask is null or { IsCompleted: true })
        {
            await WriteBatchAsync();
            _reportedAt = null;
            ReportLosses();
        }
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        base.Dispose();
        _stream.Dispose();
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        try
        {
            while (true)
            {
                await AwaitWorkAsync(stoppingToken);
                if (!Volatile.Read(ref _mustReopen))
                {
                    await Task.Delay(BatchInterval, _time, stoppingToken);
                }
                if (Interlocked.Exchange(ref _mustReopen, false))
                {
                    await ReopenNowAsync();
                }
                Volatile.Write(ref _isAwake, 0); // The next line wakes this loop again.
                await WriteBatchAsync();
                ReportLosses();
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // StopAsync writes the last lines.
        }
    }

    // A line to be written, a file to be reopened, or losses that may be reported again.
    private async ValueTask AwaitWorkAsync(CancellationToken stoppingToken)
    {
        if (Dropped == _reported || _reportedAt is not { } last)
        {
            await _wakeUps.Reader.ReadAsync(stoppingToken);
            return;
        }
        var rest = ReportInterval - _time.GetElapsedTime(last);
        using var due = new CancellationTokenSource(rest > TimeSpan.Zero ? rest : TimeSpan.Zero, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stoppingToken, due.Token);
        await ((Task)_wakeUps.Reader.WaitToReadAsync(either.Token).AsTask()).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        stoppingToken.ThrowIfCancellationRequested();
        _wakeUps.Reader.TryRead(out _);
    }

    private async ValueTask WriteBatchAsync()
    {
        foreach (var buffer in _buffers)
        {
            var (lines, count) = buffer.Take();
            if (count == 0)
            {
                continue;
            }
            try
            {
                if (_stream.CanSeek)
                {
                    _stream.Seek(0, SeekOrigin.End); // Elsewhere than on Linux another process may have cut the file, or added to it.
                }
                await _stream.WriteAsync(lines.WrittenMemory);
                await _stream.FlushAsync();
            }
            catch (Exception e) // Of whatever kind: a log that ended here would lose every later line without a word.
            {
                Interlocked.Add(ref _dropped, count);
                _failure = e.Message;
            }
            lines.ResetWrittenCount();
        }
    }

    private async ValueTask ReopenNowAsync()
    {
        try
        {
            var before = _stream;
            _stream = _open();
            await before.DisposeAsync();
        }
        catch (Exception e) // As above.
        {
            LogNotReopened(_name, e.Message);
        }
    }

    // What is lost after a report is part of the next one, at the earliest after the interval, or at the end.
    private void ReportLosses()
    {
        var dropped = Dropped;
        if (dropped == _reported || _reportedAt is { } last && _time.GetElapsedTime(last) < ReportInterval)
        {
            return;
        }
        LogDropped(_name, dropped - _reported, _failure ?? "they came faster than they could be written");
        (_reported, _reportedAt, _failure) = (dropped, _time.GetTimestamp(), null);
    }

    [LoggerMessage(30, LogLevel.Warning, "access log '{Name}': {Count} lines were lost: {Reason}")]
    private partial void LogDropped(string name, long count, string reason);

    [LoggerMessage(31, LogLevel.Error, "access log '{Name}' cannot be reopened, so the file that is open stays in use: {Reason}")]
    private partial void LogNotReopened(string name, string reason);

    /// <summary>The lines of the requests that ran on one core.</summary>
    private sealed class LineBuffer
    {
        private ArrayBufferWriter<byte> _spare = new();

        public Lock Gate { get; } = new();

        public ArrayBufferWriter<byte> Lines { get; private set; } = new();

        public int Count { get; set; }

        // The spare one is empty again: the batch before was written, or lost.
        public (ArrayBufferWriter<byte> Lines, int Count) Take()
        {
            lock (Gate)
            {
                var taken = (Lines, Count);
                (Lines, _spare, Count) = (_spare, Lines, 0);
                return taken;
            }
        }
    }
}
