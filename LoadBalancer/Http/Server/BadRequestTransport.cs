using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Messages;
using Microsoft.AspNetCore.Connections;

namespace LoadBalancer.Http.Server;

/// <summary>
/// Completes the responses with which Kestrel rejects requests itself (400, 408, 431, …): as in our own error responses, a line of text
/// and <c>Proxy-Status</c> are added. Kestrel has no option for that. So from the moment when it reports one (<see cref="BadRequestLog"/>)
/// the bytes that it writes are held back, and sent with the additions when it ends the connection, as it does after each of them.
/// </summary>
internal sealed class BadRequestTransport(IDuplexPipe inner) : PipeWriter, IDuplexPipe
{
    private const string NoBody = "Content-Length: 0\r\n";

    private readonly PipeWriter _output = inner.Output;
    private ArrayBufferWriter<byte>? _held;
    private bool _isHead;
    private bool _isTakenOver;

    /// <inheritdoc/>
    public PipeReader Input => inner.Input;

    /// <inheritdoc/>
    public PipeWriter Output => this;

    /// <inheritdoc/>
    public override bool CanGetUnflushedBytes => _output.CanGetUnflushedBytes;

    /// <inheritdoc/>
    public override long UnflushedBytes => _output.UnflushedBytes;

    /// <summary>Puts such a transport around that of a connection.</summary>
    public static async Task OnConnectionAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        var transport = new BadRequestTransport(connection.Transport);
        connection.Transport = transport;
        await next(connection);
        if (!transport._isTakenOver && transport._held is { WrittenCount: > 0 } held)
        {
            try
            {
                await transport._output.WriteAsync(Complete(held.WrittenSpan, transport._isHead));
            }
            catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
            {
                // The client has closed the connection.
            }
        }
    }

    /// <summary>Holds back the bytes that are written from now on: they are the response to a bad request.</summary>
    /// <param name="isHead">Whether the request was HEAD, whose response has no body.</param>
    public void Hold(bool isHead) => (_held, _isHead) = (_held ?? new ArrayBufferWriter<byte>(), isHead);

    /// <summary>Takes the connection over. What Kestrel writes from now on is thrown away.</summary>
    public IDuplexPipe TakeOver()
    {
        (_held, _isTakenOver) = (_held ?? new ArrayBufferWriter<byte>(), true);
        return inner;
    }

    /// <inheritdoc/>
    public override Memory<byte> GetMemory(int sizeHint = 0) => _held is null ? _output.GetMemory(sizeHint) : _held.GetMemory(sizeHint);

    /// <inheritdoc/>
    public override Span<byte> GetSpan(int sizeHint = 0) => _held is null ? _output.GetSpan(sizeHint) : _held.GetSpan(sizeHint);

    /// <inheritdoc/>
    public override void Advance(int bytes)
    {
        if (_held is null)
        {
            _output.Advance(bytes);
        }
        else
        {
            _held.Advance(bytes);
        }
    }

    /// <inheritdoc/>
    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default) =>
        _held is null ? _output.FlushAsync(cancellationToken) : default;

    /// <inheritdoc/>
    public override void CancelPendingFlush() => _output.CancelPendingFlush();

    /// <inheritdoc/>
    public override void Complete(Exception? exception = null) => _output.Complete(exception);

    /// <summary>The response with the additions; unchanged where it is not an HTTP/1.1 response, as after HTTP/2's preface.</summary>
    internal static byte[] Complete(ReadOnlySpan<byte> response, bool isHead)
    {
        var text = Encoding.Latin1.GetString(response);
        if (text.StartsWith("HTTP/1.1 ", StringComparison.Ordinal) && text.Contains(NoBody, StringComparison.Ordinal))
        {
            var body = Body(int.Parse(text.AsSpan("HTTP/1.1 ".Length, 3), CultureInfo.InvariantCulture));
            text = WithoutAllow(text).Replace(
                NoBody,
                $"Content-Length: {body.Length}\r\nContent-Type: text/plain; charset=utf-8\r\n"
                + $"Proxy-Status: {HeaderRules.NodeName}; error=http_request_error\r\n",
                StringComparison.Ordinal) + (isHead ? "" : body);
        }
        return Encoding.Latin1.GetBytes(text);
    }

    /// <summary>
    /// The status for one of Kestrel's. It answers 405 where a target is in no form that a request may have (<c>GET h:80</c>), as if
    /// CONNECT, the only method for such a target, were allowed.
    /// </summary>
    internal static int StatusOf(int status) => status == StatusCodes.Status405MethodNotAllowed ? StatusCodes.Status400BadRequest : status;

    private static string WithoutAllow(string response) => !response.StartsWith("HTTP/1.1 405", StringComparison.Ordinal) ? response
        : response.Replace("405 Method Not Allowed", "400 Bad Request", StringComparison.Ordinal)
            .Replace("Allow: CONNECT\r\n", "", StringComparison.Ordinal).Replace("Allow: OPTIONS\r\n", "", StringComparison.Ordinal);

    /// <summary>The line of text for a status of Kestrel's.</summary>
    internal static string Body(int status) => status switch
    {
        408 => ForwardError.RequestTimeout.Response().Message,
        413 => ForwardError.RequestTooLarge.Response().Message,
        414 => ForwardError.TargetTooLong.Response().Message,
        431 => ForwardError.HeadTooLarge.Response().Message,
        505 => "This version of HTTP is not supported",
        _ => ForwardError.RequestHead.Response().Message,
    } + "\n";
}
