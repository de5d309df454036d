using System.Buffers;
using System.Net;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;
using Microsoft.AspNetCore.Connections;

namespace LoadBalancer.Http.Server;

/// <summary>
/// Reads the PROXY header with which each connection of a listener begins, before TLS, and takes the client's address from it. A connection
/// without one is closed: what it says of itself cannot be told from a client's own words.
/// </summary>
/// <param name="listener">The listener's name.</param>
/// <param name="errors">Counts the connections without a header; null for no count.</param>
/// <param name="time">The clock.</param>
/// <param name="logger">Gets a line for them, once in ten seconds at most.</param>
internal sealed partial class ProxyHeaderMiddleware(string listener, ErrorStatistics? errors, TimeProvider time, ILogger logger)
{
    /// <summary>How long a proxy may take for the header, before its connection is reset.</summary>
    public static readonly TimeSpan HeaderTimeout = TimeSpan.FromSeconds(10);

    private readonly LogGate _gate = new(time);
    private long _malformed;

    /// <summary>Reads the header.</summary>
    /// <param name="connection">The connection; its remote address is the client's afterwards.</param>
    /// <param name="stopping">Cancelled when the listener stops.</param>
    /// <returns>False where the connection is over.</returns>
    public async Task<bool> PrepareAsync(ConnectionContext connection, CancellationToken stopping)
    {
        await using var timer = time.CreateTimer(
            static state => ((ConnectionContext)state!).Abort(new ConnectionAbortedException("the PROXY header took too long")),
            connection, HeaderTimeout, Timeout.InfiniteTimeSpan);
        var input = connection.Transport.Input;
        try
        {
            while (true)
            {
                var read = await input.ReadAsync(stopping);
                var bytes = read.Buffer;
                var length = Find(bytes, out var header);
                if (length > 0)
                {
                    connection.RemoteEndPoint = header.Source ?? connection.RemoteEndPoint;
                    input.AdvanceTo(bytes.GetPosition(length));
                    return true;
                }
                input.AdvanceTo(bytes.Start, bytes.End);
                if (length == ProxyHeader.Malformed)
                {
                    NoteMalformed(connection.RemoteEndPoint);
                }
                if (length == ProxyHeader.Malformed || read.IsCompleted || read.IsCanceled)
                {
                    return false; // One that ends before its header is a health check of the proxy.
                }
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            return false;
        }
    }

    private static int Find(ReadOnlySequence<byte> bytes, out ProxyHeader header)
    {
        var first = bytes.IsSingleSegment ? bytes.FirstSpan : bytes.Slice(0, Math.Min(bytes.Length, ProxyHeader.MaxLength)).ToArray();
        header = default;
        var length = ProxyHeader.Find(first);
        return length <= 0 || ProxyHeader.TryParse(first[..length], out header) ? length : ProxyHeader.Malformed;
    }

    private void NoteMalformed(EndPoint? peer)
    {
        errors?.Add(
            StatusCodes.Status400BadRequest, ErrorPlace.OfListener(listener), null, null,
            "the connection did not begin with a PROXY header");
        Interlocked.Increment(ref _malformed);
        if (_gate.TryPass())
        {
            LogMalformed(listener, Interlocked.Exchange(ref _malformed, 0), UnixPeers.Text(peer.IpAddress()));
        }
    }

    [LoggerMessage(163, LogLevel.Warning,
        "listener '{Listener}': {Count} connections were closed because they did not begin with a PROXY header; the last came from {Peer}")]
    private partial void LogMalformed(string listener, long count, string peer);
}
