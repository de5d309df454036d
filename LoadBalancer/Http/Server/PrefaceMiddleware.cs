using System.Buffers;
using System.IO.Pipelines;
using System.Security.Cryptography.X509Certificates;
using LoadBalancer.Http.Messages;
using LoadBalancer.Transport.Kestrel;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;

namespace LoadBalancer.Http.Server;

/// <summary>
/// Tells HTTP/2 with prior knowledge from HTTP/1.1 on a plain listener that speaks both: a connection of HTTP/2 begins with a preface that
/// is no request of HTTP/1.1 (RFC 9113 section 3.4). Nothing is consumed.
/// </summary>
/// <param name="keepAliveTimeout">How long a client may take for the bytes that decide.</param>
/// <param name="time">The clock.</param>
internal sealed class PrefaceMiddleware(Func<TimeSpan> keepAliveTimeout, TimeProvider time)
{
    /// <summary>Waits for the first bytes, and notes what they are.</summary>
    /// <param name="connection">The connection.</param>
    /// <param name="stopping">Cancelled when the listener stops.</param>
    /// <returns>False where the connection is over.</returns>
    public async Task<bool> PrepareAsync(ConnectionContext connection, CancellationToken stopping)
    {
        var input = connection.Transport.Input;
        await using var timer = time.CreateTimer(
            static input => ((PipeReader)input!).CancelPendingRead(), input, keepAliveTimeout(), Timeout.InfiniteTimeSpan);
        try
        {
            while (true)
            {
                var read = await input.ReadAsync(stopping);
                var bytes = read.Buffer;
                var isHttp2 = IsPreface(bytes);
                var isOver = isHttp2 is null && (read.IsCompleted || read.IsCanceled);
                input.AdvanceTo(bytes.Start, isHttp2 is null && !isOver ? bytes.End : bytes.Start);
                if (isHttp2 == true)
                {
                    Choose(connection);
                }
                if (isHttp2 is not null || isOver)
                {
                    return !isOver;
                }
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            return false;
        }
    }

    // Null where more bytes are needed.
    private static bool? IsPreface(ReadOnlySequence<byte> bytes)
    {
        Span<byte> first = stackalloc byte[Http2Preface.Bytes.Length];
        var length = (int)Math.Min(bytes.Length, first.Length);
        bytes.Slice(0, length).CopyTo(first);
        return !Http2Preface.Bytes.StartsWith(first[..length]) ? false : length < Http2Preface.Bytes.Length ? null : true;
    }

    private static void Choose(ConnectionContext connection)
    {
        connection.Features.Set<ITlsConnectionFeature>(Negotiated.Http2);
        connection.Features.Set<ITlsApplicationProtocolFeature>(Negotiated.Http2);
        if (connection.Features.Get<RequestBoundary>() is { } boundary)
        {
            boundary.HasState = true; // It must not be parked.
        }
    }

    /// <summary>
    /// Makes Kestrel speak HTTP/2 where an endpoint has both: it asks what TLS has negotiated, and has no other way to be told. The scheme
    /// of a request is its own word in HTTP/2, which <see cref="HeadCheck"/> sets right.
    /// </summary>
    private sealed class Negotiated : ITlsConnectionFeature, ITlsApplicationProtocolFeature
    {
        public static readonly Negotiated Http2 = new();

        public ReadOnlyMemory<byte> ApplicationProtocol { get; } = "h2"u8.ToArray();

        public X509Certificate2? ClientCertificate
        {
            get => null;
            set => throw new NotSupportedException();
        }

        public Task<X509Certificate2?> GetClientCertificateAsync(CancellationToken cancellationToken) =>
            Task.FromResult<X509Certificate2?>(null);
    }
}
