using System.Collections.Concurrent;
using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Reflection;
using Microsoft.AspNetCore.Connections;

namespace LoadBalancer.Http.Server;

/// <summary>
/// Notices the HTTP/2 requests that Kestrel refuses without a response: it resets the stream, or ends the connection. It reports that in
/// its debug messages only, so they are read here; of the other categories the loggers stay as they are.
/// </summary>
/// <param name="inner">Makes the loggers.</param>
/// <param name="refused">Called for each refusal, with the client's address, the status that fits, and the cause.</param>
/// <param name="time">The clock.</param>
internal sealed class Http2RefusalLog(ILoggerFactory inner, Action<IPAddress?, int, string> refused, TimeProvider time)
    : ILoggerFactory
{
    private const string Kestrel = "Microsoft.AspNetCore.Server.Kestrel.";

    // KestrelTrace of ASP.NET Core numbers its messages.
    private const int ConnectionBadRequest = 17;
    private const int ConnectionError = 29;
    private const int StreamError = 30;
    private const int HeaderCompressionError = 31;
    private const int StreamReset = 35;

    private const int MaxLooks = 100; // at stacks, in a second

    private readonly ConcurrentDictionary<string, IPAddress?> _connections = new();
    private PropertyInfo? _code;
    private long _lookingSince = time.GetTimestamp();
    private int _looks;

    /// <summary>Knows the client of a connection that speaks HTTP/2 while it lasts.</summary>
    public async Task OnConnectionAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        _connections[connection.ConnectionId] = (connection.RemoteEndPoint as IPEndPoint)?.Address;
        try
        {
            await next(connection);
        }
        finally
        {
            _connections.TryRemove(connection.ConnectionId, out _);
        }
    }

    /// <inheritdoc/>
    public ILogger CreateLogger(string categoryName) => categoryName is Kestrel + "Http2" or Kestrel + "BadRequests"
        ? new Listening(this, inner.CreateLogger(categoryName))
        : inner.CreateLogger(categoryName);

    /// <inheritdoc/>
    public void AddProvider(ILoggerProvider provider) => inner.AddProvider(provider);

    /// <inheritdoc/>
    public void Dispose()
    {
        // The inner factory belongs to the node.
    }

    private void OnMessage(int id, IReadOnlyList<KeyValuePair<string, object?>> values, Exception? error)
    {
        var connection = values.FirstOrDefault(value => value.Key is "ConnectionId" or "TraceIdentifier").Value as string ?? "";
        var stream = connection.IndexOf(':', StringComparison.Ordinal);
        if (!_connections.TryGetValue(stream < 0 ? connection : connection[..stream], out var client))
        {
            return; // It speaks HTTP/1.1, whose refusals BadRequestLog gets.
        }
        var status = id switch
        {
            ConnectionBadRequest => error is BadHttpRequestException { StatusCode: 408 } ? 408 : 0, // The others are answered.
            ConnectionError or HeaderCompressionError => 400,
            StreamError => CodeOf(error) switch
            {
                "PROTOCOL_ERROR" => IsBody(error) ? 0 : 400,
                "REFUSED_STREAM" or "ENHANCE_YOUR_CALM" => 503, // There are too many requests.
                _ => 0,
            },
            // With another code the pipeline has aborted a request, which it logs.
            StreamReset => values.Any(value => value.Key == "error" && value.Value?.ToString() == "PROTOCOL_ERROR") ? 400 : 0,
            _ => 0,
        };
        if (status != 0)
        {
            refused(client, status, error?.Message ?? "the request is malformed");
        }
    }

    [DynamicDependency(
        "ErrorCode", "Microsoft.AspNetCore.Server.Kestrel.Core.Internal.Http2.Http2ConnectionErrorException",
        "Microsoft.AspNetCore.Server.Kestrel.Core")]
    [UnconditionalSuppressMessage("Trimming", "IL2075", Justification = "the property is kept")]
    private string? CodeOf(Exception? error)
    {
        _code ??= error?.GetType().GetProperty("ErrorCode"); // The type is internal, and always the same.
        return _code?.GetValue(error)?.ToString();
    }

    // A body that is longer or shorter than announced belongs to a request that the pipeline has, and logs; unless it ended with its head,
    // which only the stack tells. That takes time, and a client can bring it about as often as it likes, so it is not always looked at.
    private bool IsBody(Exception? error) =>
        error?.Message.Contains("More data received than specified in the Content-Length", StringComparison.Ordinal) == true
        || error?.Message.Contains("Less data received than specified in the Content-Length", StringComparison.Ordinal) == true
        && MayLook() && new StackTrace(error).GetFrames().Any(frame =>
            DiagnosticMethodInfo.Create(frame)?.Name is "OnDataAsync" or "ProcessDataFrameAsync" or "DecodeTrailersAsync");

    private bool MayLook()
    {
        if (time.GetElapsedTime(Volatile.Read(ref _lookingSince)) >= TimeSpan.FromSeconds(1))
        {
            Volatile.Write(ref _lookingSince, time.GetTimestamp());
            Volatile.Write(ref _looks, 0);
        }
        return Interlocked.Increment(ref _looks) <= MaxLooks;
    }

    private sealed class Listening(Http2RefusalLog log, ILogger inner) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => inner.BeginScope(state);

        public bool IsEnabled(LogLevel logLevel) => logLevel == LogLevel.Debug || inner.IsEnabled(logLevel);

        public void Log<TState>(
            LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (logLevel == LogLevel.Debug && state is IReadOnlyList<KeyValuePair<string, object?>> values)
            {
                log.OnMessage(eventId.Id, values, exception);
            }
            if (inner.IsEnabled(logLevel))
            {
                inner.Log(logLevel, eventId, state, exception, formatter);
            }
        }
    }
}
