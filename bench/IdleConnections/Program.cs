using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace LoadBalancer.Bench;

/// <summary>
/// Opens many keep-alive connections, sends one request on each, reads the answer, and leaves them idle. Then it prints a line, and ends
/// when it reads one. Arguments: address, port, count.
/// </summary>
internal static class Program
{
    private static readonly byte[] Request = "GET /small HTTP/1.1\r\nHost: bench\r\n\r\n"u8.ToArray();

    private static async Task Main(string[] args)
    {
        var endPoint = new IPEndPoint(IPAddress.Parse(args[0]), int.Parse(args[1], CultureInfo.InvariantCulture));
        var sockets = new Socket[int.Parse(args[2], CultureInfo.InvariantCulture)];
        var buffer = new byte[16 * 1024];
        for (var i = 0; i < sockets.Length; i++)
        {
            sockets[i] = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
            await sockets[i].ConnectAsync(endPoint);
            await sockets[i].SendAsync(Request);
            // The answer fits into one packet.
            if (await sockets[i].ReceiveAsync(buffer) == 0)
            {
                throw new IOException($"connection {i + 1} was closed");
            }
        }
        Console.WriteLine($"{sockets.Length} connections are idle");
        await Console.In.ReadLineAsync();
    }
}
