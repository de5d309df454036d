using System.Buffers;
using System.Threading.Channels;

namespace LoadBalancer.Diagnostics.Access;

/// <summary>
/// Writes a line for each request, in batches, on a thread that serves no request. A request only leaves its line in memory, where its
/// data is still warm. It never waits: when lines come faster than they can be written they are dropped, counted, and the loss is told.
/// </summary>
public sealed partial class AccessLog : BackgroundService
{
    private static readonly TimeSpan BatchInterval = TimeSpan.FromMilliseconds(100);

    private readonly Waiting[] _waiting;
    private readonly Channel<bool> _news = Channel.CreateBounded<bool>(new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite });
    private readonly int _capacity;
    private readonly Stream _stream;
    private readonly string _name;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private int _isTold; // that there are lines
    private long _dropped;
    private long _reported;

    /// <summary>Makes a log.</summary>
    /// <param name="name">What the listener's <c>AccessLog</c> says: a file, or <c>Console</c>.</param>
    /// <param name="stream">What it writes to, and closes in the end.</param>
    /// <param name="time">The clock that spaces the batches.</param>
    /// <param name="logger">Told of lines that were lost.</param>
    /// <param name="capacity">How many bytes may wait for each core; a tenth of a second's worth for half a million requests per second.</param>
    public AccessLog(string name, Stream stream, TimeProvider time, ILogger<AccessLog> logger, int capacity = 8 * 1024 * 1024)
    {
        (_name, _stream, _time, _logger, _capacity) = (name, stream, time, logger, capacity);
        _waiting = [.. Enumerable.Range(0, Environment.ProcessorCount).Select(_ => new Waiting())];
    }

    /// <summary>Lines that were lost because they came too fast, or could not be written.</summary>
    public long Dropped => Interlocked.Read(ref _dropped);

    /// <summary>Opens the stream of a listener's <c>AccessLog</c> setting.</summary>
    public static Stream Open(string setting) => setting.Equals("Console", StringComparison.OrdinalIgnoreCase)
        ? Console.OpenStandardOutput()
        : new FileStream(setting, FileMode.Append, FileAccess.Write, FileShare.ReadWrite | FileShare.Delete);

    /// <summary>Takes a record; returns at once.</summary>
    public void Write(AccessRecord record)
    {
        var waiting = _waiting[(uint)Thread.GetCurrentProcessorId() % (uint)_waiting.Length];
        lock (waiting.Gate) // nearly always ours alone: others come by for as long as it takes to swap two references
        {
            if (waiting.Lines.WrittenCount >= _capacity)
            {
                Interlocked.Increment(ref _dropped);
                return;
            }
            record.WriteTo(waiting.Lines);
            waiting.Count++;
        }
        if (Volatile.Read(ref _isTold) == 0 && Interlocked.Exchange(ref _isTold, 1) == 0)
        {
            _news.Writer.TryWrite(true);
        }
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await using var stream = _stream;
        try
        {
            while (true)
            {
                await _news.Reader.ReadAsync(stoppingToken);
                await Task.Delay(BatchInterval, _time, stoppingToken);
                Volatile.Write(ref _isTold, 0); // A line that comes from now on is told of again.
                await FlushAsync(stream);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            await FlushAsync(stream); // The listeners have stopped before; this is the rest.
        }
    }

    private async Task FlushAsync(Stream stream)
    {
        foreach (var waiting in _waiting)
        {
            var (lines, count) = waiting.Take();
            try
            {
                await stream.WriteAsync(lines.WrittenMemory);
                await stream.FlushAsync();
            }
            catch (IOException)
            {
                Interlocked.Add(ref _dropped, count);
            }
            lines.ResetWrittenCount();
        }
        if (Dropped > _reported)
        {
            LogDropped(_name, Dropped - _reported);
            _reported = Dropped;
        }
    }

    [LoggerMessage(30, LogLevel.Warning, "access log '{Name}': {Count} lines were lost")]
    private partial void LogDropped(string name, long count);

    /// <summary>The lines that one core's requests have left.</summary>
    private sealed class Waiting
    {
        private ArrayBufferWriter<byte> _spare = new();

        public Lock Gate { get; } = new();

        public ArrayBufferWriter<byte> Lines { get; private set; } = new();

        public int Count { get; set; }

        // The spare one is empty again: the batch before was written.
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
