using System.Net;

namespace LoadBalancer.Http;

/// <summary>The client's body on its way to a backend: streamed as it arrives, never held whole, and so readable only once.</summary>
internal sealed class RequestBody(HttpRequest request) : HttpContent
{
    /// <summary>Whether reading from the client has begun, after which nobody else can be sent the same body.</summary>
    public bool Consumed { get; private set; }

    /// <summary>What went wrong on the client's side while its body was read, if that was it.</summary>
    public Exception? ClientFault { get; private set; }

    protected override bool TryComputeLength(out long length)
    {
        length = request.ContentLength ?? 0;
        return request.ContentLength is not null;
    }

    protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) =>
        SerializeToStreamAsync(stream, context, CancellationToken.None);

    protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
    {
        Consumed = true;
        var reader = request.BodyReader;
        while (true)
        {
            System.IO.Pipelines.ReadResult read;
            try
            {
                read = await reader.ReadAsync(cancellationToken);
            }
            catch (Exception e) when (e is IOException or BadHttpRequestException)
            {
                ClientFault = e;
                throw;
            }
            foreach (var segment in read.Buffer)
            {
                await stream.WriteAsync(segment, cancellationToken);
            }
            reader.AdvanceTo(read.Buffer.End);
            if (read.IsCompleted)
            {
                return;
            }
            await stream.FlushAsync(cancellationToken);
        }
    }
}
