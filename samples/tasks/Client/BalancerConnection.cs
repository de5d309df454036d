using System.Net.Sockets;

namespace Client;

/// <summary>The connection to the load balancer. One task may send while another reads.</summary>
internal sealed class BalancerConnection : IAsyncDisposable
{
    private readonly TcpClient _client;
    private readonly StreamReader _reader;
    private readonly StreamWriter _writer;

    private BalancerConnection(TcpClient client, string address)
    {
        (_client, Address) = (client, address);
        var stream = client.GetStream();
        _reader = new StreamReader(stream);
        _writer = new StreamWriter(stream, bufferSize: 32 * 1024) { NewLine = "\n" };
    }

    /// <summary>The load balancer's host and port.</summary>
    public string Address { get; }

    /// <summary>Connects. Tries again until the load balancer accepts connections.</summary>
    /// <param name="host">The load balancer's host.</param>
    /// <param name="port">Its port for clients.</param>
    /// <param name="patience">How long to try.</param>
    /// <param name="cancellationToken">Ends the attempts.</param>
    /// <exception cref="SocketException">The last attempt has failed.</exception>
    public static async Task<BalancerConnection> OpenAsync(string host, int port, TimeSpan patience, CancellationToken cancellationToken)
    {
        var started = TimeProvider.System.GetTimestamp();
        while (true)
        {
            var client = new TcpClient { NoDelay = true };
            try
            {
                await client.ConnectAsync(host, port, cancellationToken);
                return new BalancerConnection(client, $"{host}:{port}");
            }
            catch (SocketException) when (TimeProvider.System.GetElapsedTime(started) < patience)
            {
                client.Dispose();
            }
            await Task.Delay(TimeSpan.FromMilliseconds(100), TimeProvider.System, cancellationToken);
        }
    }

    /// <summary>Writes a task into the buffer, which <see cref="FlushAsync"/> sends.</summary>
    public Task SendAsync(string id, string data) => _writer.WriteLineAsync($"TASK|{id}|{data}");

    /// <summary>Sends what is in the buffer.</summary>
    public Task FlushAsync() => _writer.FlushAsync();

    /// <summary>Reads the next result.</summary>
    /// <exception cref="IOException">The load balancer has closed the connection, or has sent an error instead of a result.</exception>
    public async Task<(string Id, string Result)> ReadAsync(CancellationToken cancellationToken)
    {
        var line = await _reader.ReadLineAsync(cancellationToken) ?? throw new IOException("the load balancer has closed the connection");
        return line.Split('|', 3) is ["RESULT", var id, var result]
            ? (id, result)
            : throw new IOException($"the load balancer says: {line}");
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        _reader.Dispose();
        try
        {
            await _writer.DisposeAsync();
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            // The connection is gone, and the rest of the buffer with it.
        }
    }
}
