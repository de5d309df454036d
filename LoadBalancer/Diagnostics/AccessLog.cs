using System.Buffers;
using System.Threading.Channels;

namespace LoadBalancer.Diagnostics;

/// <summary>
/// Writes a line for each request, in batches, on a thread that serves no request. Never makes a request wait: when lines come faster
/// than they can be written they are dropped, counted, and the loss is told.
/// </summary>
public sealed partial class AccessLog : BackgroundService
{
    private static readonly TimeSpan BatchInterval = TimeSpan.FromMilliseconds(100);

    private readonly Channel<AccessRecord> _records;
    private readonly Stream _stream;
    private readonly string _name;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private long _dropped;
    private long _reported;

    /// <summary>Makes a log.</summary>
    /// <param name="name">What the listener's <c>AccessLog</c> says: a file, or <c>Console</c>.</param>
    /// <param name="stream">What it writes to, and closes in the end.</param>
    /// <param name="time">The clock that spaces the batches.</param>
    /// <param name="logger">Told of lines that were lost.</param>
    /// <param name="capacity">How many lines may wait; a tenth of a second's worth for half a million requests per second.</param>
    public AccessLog(string name, Stream stream, TimeProvider time, ILogger<AccessLog> logger, int capacity = 65_536)
    {
        (_name, _stream, _time, _logger) = (name, stream, time, logger);
        _records = Channel.CreateBounded<AccessRecord>(new BoundedChannelOptions(capacity) { SingleReader = true });
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
        if (!_records.Writer.TryWrite(record))
        {
            Interlocked.Increment(ref _dropped);
        }
    }

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        await using var stream = _stream;
        var lines = new ArrayBufferWriter<byte>();
        try
        {
            while (await _records.Reader.WaitToReadAsync(stoppingToken))
            {
                await Task.Delay(BatchInterval, _time, stoppingToken);
                await FlushAsync(stream, lines);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            await FlushAsync(stream, lines); // The listeners have stopped before; this is the rest.
        }
    }

    private async Task FlushAsync(Stream stream, ArrayBufferWriter<byte> lines)
    {
        var count = 0;
        for (; _records.Reader.TryRead(out var record); count++)
        {
            record.WriteTo(lines);
        }
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
        if (Dropped > _reported)
        {
            LogDropped(_name, Dropped - _reported);
            _reported = Dropped;
        }
    }

    [LoggerMessage(30, LogLevel.Warning, "access log '{Name}': {Count} lines were lost")]
    private partial void LogDropped(string name, long count);
}
