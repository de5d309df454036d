using System.Buffers;
using System.IO.Pipelines;
using System.Net.Security;
using System.Security.Authentication;
using LoadBalancer.Http.Transforms;
using LoadBalancer.Tls;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;

namespace LoadBalancer.Http.Server;

/// <summary>
/// Ends TLS on the TCP connections of an https:// listener. Kestrel's own middleware would choose a certificate by the name alone, close
/// without close_notify (RFC 8446 section 6.1), and leave a plain request without an answer; it does nothing where this has run. The
/// handshake stays on the thread that reads the connection.
/// </summary>
/// <param name="certificates">The certificates.</param>
/// <param name="refusal">Answers plain requests.</param>
/// <param name="keepAliveTimeout">How long a client may take until it begins its first request.</param>
/// <param name="time">The clock.</param>
internal sealed class TlsMiddleware(
    CertificateStore certificates, PlainRequestRefusal refusal, Func<TimeSpan> keepAliveTimeout, TimeProvider time)
{
    /// <summary>How long a client may take for the handshake, before its connection is reset.</summary>
    public static readonly TimeSpan HandshakeTimeout = TimeSpan.FromSeconds(10);

    // How long a handshake that has begun may go on when the listener stops: its client was accepted, and would see a failure.
    private static readonly TimeSpan LastHandshakes = TimeSpan.FromSeconds(5);

    /// <summary>
    /// Shakes hands and waits for the first byte of a request. A connection on which none comes, such as those that browsers make in
    /// advance, never costs what Kestrel needs for requests.
    /// </summary>
    /// <param name="connection">The connection; what is inside TLS is its transport afterwards.</param>
    /// <param name="stopping">Cancelled when the listener stops.</param>
    /// <returns>False where the connection is over.</returns>
    public async Task<bool> PrepareAsync(ConnectionContext connection, CancellationToken stopping)
    {
        using var late = new CancellationTokenSource();
        await using var stop = stopping.UnsafeRegister(
            static late => ((CancellationTokenSource)late!).CancelAfter(LastHandshakes), late);
        var tls = new SslStream(new PipeStream(connection.Transport));
        if (!await TryShakeHandsAsync(connection, tls, stopping, late.Token))
        {
            await tls.DisposeAsync();
            return false;
        }
        var pipe = new TlsPipe(tls);
        if (!await AwaitRequestAsync(pipe.Input, stopping.IsCancellationRequested ? late.Token : stopping))
        {
            await pipe.EndAsync();
            return false;
        }
        var features = new TlsFeatures(tls);
        connection.Features.Set<ITlsConnectionFeature>(features);
        connection.Features.Set<ITlsApplicationProtocolFeature>(features);
        connection.Features.Set<ITlsHandshakeFeature>(features);
        connection.Features.Set<ISslStreamFeature>(features);
        if (features.ClientCertificate is { } certificate)
        {
            connection.Features.Set(ProvedIdentity.Of(certificate));
        }
        connection.Transport = pipe;
        return true;
    }

    /// <summary>Prepares the connection, where the transport has not, runs the rest with what is inside TLS, and ends TLS.</summary>
    public async Task OnConnectionAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        if (connection.Transport is not TlsPipe)
        {
            var lifetime = connection.Features.Get<IConnectionLifetimeNotificationFeature>();
            if (!await PrepareAsync(connection, lifetime?.ConnectionClosedRequested ?? default))
            {
                return;
            }
        }
        var pipe = (TlsPipe)connection.Transport;
        try
        {
            await next(connection);
        }
        finally
        {
            await pipe.EndAsync();
        }
    }

    private static bool IsEnd(Exception e) => e is IOException or OperationCanceledException or ObjectDisposedException;

    // Consumes nothing. A connection that ends before its first byte is a health check, or was made in advance.
    private static async Task<(byte? First, ClientHello Hello)> PeekAsync(PipeReader input, CancellationToken stopping)
    {
        while (true)
        {
            var read = await input.ReadAsync(stopping);
            var bytes = read.Buffer;
            var isWhole = ClientHello.TryRead(bytes.IsSingleSegment ? bytes.FirstSpan : bytes.ToArray(), out var hello);
            var isEnough = isWhole || read.IsCompleted;
            byte? first = bytes.IsEmpty ? null : bytes.FirstSpan[0];
            input.AdvanceTo(bytes.Start, isEnough ? bytes.Start : bytes.End);
            if (isEnough)
            {
                return (first, hello);
            }
        }
    }

    private async Task<bool> TryShakeHandsAsync(
        ConnectionContext connection, SslStream tls, CancellationToken stopping, CancellationToken late)
    {
        await using var timer = time.CreateTimer(
            static state => ((ConnectionContext)state!).Abort(new ConnectionAbortedException("the TLS handshake took too long")),
            connection, HandshakeTimeout, Timeout.InfiniteTimeSpan);
        try
        {
            var (first, hello) = await PeekAsync(connection.Transport.Input, stopping);
            if (first is not { } known)
            {
                return false;
            }
            if (PlainRequestRefusal.IsPlain(known))
            {
                await refusal.AnswerAsync(connection, stopping);
                return false;
            }
            await tls.AuthenticateAsServerAsync(certificates.Select(hello), late);
            return true;
        }
        catch (Exception e) when (IsEnd(e) || e is AuthenticationException or InvalidOperationException or NotSupportedException)
        {
            return false; // SslStream throws the last two if a client begins with a TLS alert.
        }
    }

    private async Task<bool> AwaitRequestAsync(PipeReader input, CancellationToken stopping)
    {
        await using var timer = time.CreateTimer(
            static input => ((PipeReader)input!).CancelPendingRead(), input, keepAliveTimeout(), Timeout.InfiniteTimeSpan);
        try
        {
            var read = await input.ReadAsync(stopping);
            var hasBegun = !read.Buffer.IsEmpty;
            input.AdvanceTo(read.Buffer.Start);
            return hasBegun;
        }
        catch (Exception e) when (IsEnd(e))
        {
            return false;
        }
    }
}
