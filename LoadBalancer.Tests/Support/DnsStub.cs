using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;

namespace LoadBalancer.Tests.Support;

/// <summary>A DNS server that answers, by datagrams and over TCP, whatever a test wants.</summary>
internal sealed class DnsStub : IAsyncDisposable
{
    private readonly Socket _datagrams = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly Task[] _serving;
    private int _asked;

    /// <summary>Starts it.</summary>
    /// <param name="answer">Answers a question, or does not.</param>
    public DnsStub(Func<DnsQuestion, Task> answer)
    {
        AnswerAsync = answer;
        Port = ReservedPorts.Next();
        _datagrams.Bind(new IPEndPoint(IPAddress.Loopback, Port));
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, Port));
        _listener.Listen();
        _serving = [ServeDatagramsAsync(), ServeTcpAsync()];
    }

    /// <summary>Answers a question, or does not.</summary>
    public Func<DnsQuestion, Task> AnswerAsync { get; set; }

    public int Port { get; }

    /// <summary>Its address, as a configuration has it.</summary>
    public string Address => $"127.0.0.1:{Port}";

    /// <summary>How many questions have come.</summary>
    public int Asked => Volatile.Read(ref _asked);

    /// <summary>A server whose name has these records; other types are answered with none.</summary>
    public static DnsStub Of(Func<string[]> records) => new(question => question.ReplyAsync(
        question.Answer(0, [.. records().Where(record => record.StartsWith(question.Type + " ", StringComparison.Ordinal))])));

    public async ValueTask DisposeAsync()
    {
        _datagrams.Dispose();
        _listener.Dispose();
        await Task.WhenAll(_serving);
    }

    private async Task ServeDatagramsAsync()
    {
        var buffer = new byte[ushort.MaxValue];
        while (true)
        {
            try
            {
                var received = await _datagrams.ReceiveFromAsync(buffer, new IPEndPoint(IPAddress.Any, 0));
                var client = received.RemoteEndPoint;
                Interlocked.Increment(ref _asked);
                await AnswerAsync(new DnsQuestion(
                    buffer[..received.ReceivedBytes], false, client, answer => _datagrams.SendToAsync(answer, client)));
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.ConnectionRefused or SocketError.ConnectionReset)
            {
                // A client did not wait for its answer.
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return;
            }
        }
    }

    private async Task ServeTcpAsync()
    {
        while (true)
        {
            try
            {
                using var client = await _listener.AcceptAsync();
                await using var stream = new NetworkStream(client);
                var head = new byte[2];
                await stream.ReadExactlyAsync(head);
                var message = new byte[BinaryPrimitives.ReadUInt16BigEndian(head)];
                await stream.ReadExactlyAsync(message);
                Interlocked.Increment(ref _asked);
                Task ReplyAsync(byte[] answer) =>
                    stream.WriteAsync((byte[])[(byte)(answer.Length >> 8), (byte)answer.Length, .. answer]).AsTask();
                await AnswerAsync(new DnsQuestion(message, true, null, ReplyAsync));
            }
            catch (IOException)
            {
                // The client is gone.
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                return;
            }
        }
    }
}
