using System.Buffers;
using System.Globalization;
using System.IO.Pipelines;
using System.Text;
using LoadBalancer.Http.Messages;
using Microsoft.AspNetCore.Connections;

namespace LoadBalancer.Http.Server;

/// <summary>
/// Gives the refusals that Kestrel answers itself (400, 408, 431, …) what every answer of ours has: a line of text, and
/// <c>Proxy-Status</c>. Kestrel offers no way to change them; so from the moment when it tells of one (<see cref="BadRequestLog"/>)
/// what it writes is held back, and sent with what was missing when it is done with the connection, as it is after each of them.
/// </summary>
internal sealed class RefusalTransport(IDuplexPipe inner) : PipeWriter, IDuplexPipe
{
    private const string NoBody = "Content-Length: 0\r\n";

    private readonly PipeWriter _output = inner.Output;
    private ArrayBufferWriter<byte>? _held;
    private bool _isHead;

    /// <inheritdoc/>
    public PipeReader Input => inner.Input;

    /// <inheritdoc/>
    public PipeWriter Output => this;

    /// <inheritdoc/>
    public override bool CanGetUnflushedBytes => _output.CanGetUnflushedBytes;

    /// <inheritdoc/>
    public override long UnflushedBytes => _output.UnflushedBytes;

    /// <summary>Serves a connection through such a transport.</summary>
    public static async Task OnConnectionAsync(ConnectionContext connection, ConnectionDelegate next)
    {
        var transport = new RefusalTransport(connection.Transport);
        connection.Transport = transport;
        await next(connection);
        if (transport._held is { WrittenCount: > 0 } held)
        {
            try
            {
                await transport._output.WriteAsync(Complete(held.WrittenSpan, transport._isHead));
            }
            catch (Exception e) when (e is IOException or OperationCanceledException or ObjectDisposedException)
            {
                // The client did not wait for it.
            }
        }
    }

    /// <summary>What is written from now on is a refusal.</summary>
    /// <param name="isHead">Whether the request was HEAD, to which nobody expects a body.</param>
    public void Hold(bool isHead) => (_held, _isHead) = (_held ?? new ArrayBufferWriter<byte>(), isHead);

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
    public override ValueTask<FlushResult> FlushAsync(CancellationToken cancellationToken = default) => _held is null ? _output.FlushAsync(cancellationToken) : default;

    /// <inheritdoc/>
    public override void CancelPendingFlush() => _output.CancelPendingFlush();

    /// <inheritdoc/>
    public override void Complete(Exception? exception = null) => _output.Complete(exception);

    /// <summary>The answer with what was missing; as it is where it is not one of HTTP/1.1, as that to HTTP/2's preface.</summary>
    internal static byte[] Complete(ReadOnlySpan<byte> answer, bool isHead)
    {
        var text = Encoding.Latin1.GetString(answer);
        if (text.StartsWith("HTTP/1.1 ", StringComparison.Ordinal) && text.Contains(NoBody, StringComparison.Ordinal))
        {
            var body = Body(int.Parse(text.AsSpan("HTTP/1.1 ".Length, 3), CultureInfo.InvariantCulture));
            text = text.Replace(
                NoBody,
                $"Content-Length: {body.Length}\r\nContent-Type: text/plain; charset=utf-8\r\nProxy-Status: {HeaderRules.NodeName}; error=http_request_error\r\n",
                StringComparison.Ordinal) + (isHead ? "" : body);
        }
        return Encoding.Latin1.GetBytes(text);
    }

    /// <summary>The line of text for one of Kestrel's refusals.</summary>
    internal static string Body(int status) => status switch
    {
        408 => ForwardError.RequestTimeout.Answer().Message,
        413 => ForwardError.RequestTooLarge.Answer().Message,
        414 => "The target of the request is too long",
        431 => "The head of the request is too large",
        505 => "This version of HTTP is not supported",
        _ => ForwardError.RequestHead.Answer().Message,
    } + "\n";
}
