using System.Net.Sockets;
using RabbitMQ.Client;

namespace LoadBalancer.Tasks;

/// <summary>
/// A connection to a RabbitMQ server that knows when it was last heard. The library closes a silent connection too, but only after two
/// heartbeats and the time that closing takes, and does not say why.
/// </summary>
internal sealed class RabbitSocket(Socket socket, TimeProvider time) : TcpClientAdapter(socket)
{
    private long _heardAt = time.GetTimestamp();

    /// <summary>For how long nothing was received.</summary>
    public TimeSpan Silence => time.GetElapsedTime(Volatile.Read(ref _heardAt));

    /// <inheritdoc/>
    public override NetworkStream GetStream() => new HeardStream(this);

    private void OnHeard() => Volatile.Write(ref _heardAt, time.GetTimestamp());

    private sealed class HeardStream(RabbitSocket owner) : NetworkStream(owner.Client)
    {
        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            var count = await base.ReadAsync(buffer, cancellationToken);
            owner.OnHeard();
            return count;
        }
    }
}
