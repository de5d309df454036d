using System.Net.Sockets;

namespace Client;

/// <summary>The connection to the load balancer. One may send while another reads.</summary>
internal sealed class BalancerConnection : IAsyncDisposable
{
    private readonly TcpClient _client;
    private readonly StreamReader _reader;
    private readonly StreamWriter _writer;

    private BalancerConnection(TcpClient client, string where)
    {
        (_client, Where) = (client, where);
        var stream = client.GetStream();
        _reader = new StreamReader(stream);
        _writer = new StreamWriter(stream, bufferSize: 32 * 1024) { NewLine = "\n" };
    }

    /// <summary>Where the load balancer is.</summary>
    public string Where { get; }

    /// <summary>Connects, as soon as somebody is there.</summary>
    /// <exception cref="SocketException">Nobody was there in time.</exception>
    public static async Task<BalancerConnection> OpenAsync(string host, int port, TimeSpan patience, CancellationToken cancellationToken)
    {
        for (var started = TimeProvider.System.GetTimestamp(); ; await Task.Delay(TimeSpan.FromMilliseconds(100), TimeProvider.System, cancellationToken))
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
        }
    }

    /// <summary>Sends a task, at the next <see cref="FlushAsync"/> at the latest.</summary>
    public Task SendAsync(string id, string data) => _writer.WriteLineAsync($"TASK|{id}|{data}");

    /// <summary>Sends what has not gone yet.</summary>
    public Task FlushAsync() => _writer.FlushAsync();

    /// <summary>Reads the next result.</summary>
    /// <exception cref="IOException">There is none, for the load balancer has closed the connection or has something to complain of.</exception>
    public async Task<(string Id, string Result)> ReadAsync(CancellationToken cancellationToken) => (await _reader.ReadLineAsync(cancellationToken))?.Split('|', 3) switch
    {
        ["RESULT", var id, var result] => (id, result),
        null => throw new IOException("the load balancer has closed the connection"),
        var other => throw new IOException($"the load balancer says: {string.Join('|', other)}"),
    };

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
            // What has not gone is of no interest any more.
        }
    }
}
