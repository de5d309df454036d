using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;

namespace LoadBalancer.Discovery;

/// <summary>
/// Asks one DNS server: by a datagram, and over TCP where the answer does not fit in one. The socket is connected, so that the system
/// drops what comes from elsewhere, and has a port of its own for each question; an answer with another number or to another question is
/// ignored. Not the DnsClient library (1.8.0): its socket is bound to every address and not connected, so it takes an answer from any
/// address and port (RFC 5452 section 9.1 asks to check both), to any question, and gives up at the first wrong number. A relay of ours on
/// a loopback address in front of it would not help, as answers could still come from elsewhere while it waits for the relay.
/// </summary>
internal static class DnsServer
{
    /// <summary>How long an answer may take. A datagram may be lost, so the question is then asked again by who asks here.</summary>
    public static readonly TimeSpan Timeout = TimeSpan.FromSeconds(2);

    // What is asked for is less: one that is longer is malformed.
    private const int LongestDatagram = 4096;

    /// <summary>Asks a question.</summary>
    /// <param name="server">The server.</param>
    /// <param name="name">See <see cref="DnsMessage.NameOf"/>.</param>
    /// <param name="type">The records that are wanted.</param>
    /// <param name="time">The clock of the time-out.</param>
    /// <param name="cancellationToken">Cancelled when the answer is no longer wanted.</param>
    /// <exception cref="LookupException">No answer came, or a malformed one.</exception>
    public static async Task<DnsResponse> AskAsync(
        IPEndPoint server, string name, DnsRecordType type, TimeProvider time, CancellationToken cancellationToken)
    {
        using var deadline = new CancellationTokenSource(Timeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        try
        {
            var response = await AskByDatagramAsync(server, name, type, hasOptions: true, either.Token);
            if (response.Code == DnsResponse.FormatError)
            {
                response = await AskByDatagramAsync(server, name, type, hasOptions: false, either.Token);
            }
            return response.IsTruncated ? await AskByTcpAsync(server, name, type, either.Token) : response;
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new LookupException(LookupResult.Timeout, $"no answer from {server} within {Timeout.TotalSeconds} s");
        }
        catch (FormatException e)
        {
            throw new LookupException(LookupResult.Malformed, $"a malformed answer from {server}: {e.Message}");
        }
        catch (Exception e) when (e is SocketException or IOException)
        {
            throw new LookupException(LookupResult.Error, $"{server}: {e.Message}");
        }
    }

    private static async Task<DnsResponse> AskByDatagramAsync(
        IPEndPoint server, string name, DnsRecordType type, bool hasOptions, CancellationToken cancellationToken)
    {
        using var socket = new Socket(server.AddressFamily, SocketType.Dgram, ProtocolType.Udp);
        await socket.ConnectAsync(server, cancellationToken);
        var id = NewId();
        await socket.SendAsync(DnsMessage.Question(id, name, type, hasOptions), cancellationToken);
        var buffer = new byte[LongestDatagram];
        while (true)
        {
            var count = await socket.ReceiveAsync(buffer, cancellationToken);
            if (DnsMessage.IsAnswerTo(buffer.AsSpan(0, count), id, name, type))
            {
                return DnsMessage.Read(buffer.AsSpan(0, count));
            }
        }
    }

    private static async Task<DnsResponse> AskByTcpAsync(
        IPEndPoint server, string name, DnsRecordType type, CancellationToken cancellationToken)
    {
        using var socket = new Socket(server.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(server, cancellationToken);
        await using var stream = new NetworkStream(socket);
        var id = NewId();
        var question = DnsMessage.Question(id, name, type, hasOptions: false);
        var message = new byte[sizeof(ushort) + question.Length]; // The length comes first (RFC 1035 section 4.2.2).
        BinaryPrimitives.WriteUInt16BigEndian(message, (ushort)question.Length);
        question.CopyTo(message, sizeof(ushort));
        await stream.WriteAsync(message, cancellationToken);
        var head = new byte[sizeof(ushort)];
        await stream.ReadExactlyAsync(head, cancellationToken);
        var answer = new byte[BinaryPrimitives.ReadUInt16BigEndian(head)];
        await stream.ReadExactlyAsync(answer, cancellationToken);
        if (!DnsMessage.IsAnswerTo(answer, id, name, type))
        {
            throw new FormatException("it answers another question");
        }
        var response = DnsMessage.Read(answer);
        return response.IsTruncated ? throw new FormatException("it is truncated, although it came over TCP") : response;
    }

    private static ushort NewId() => (ushort)RandomNumberGenerator.GetInt32(ushort.MaxValue + 1);
}
