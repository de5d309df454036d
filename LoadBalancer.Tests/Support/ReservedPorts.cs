using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// Ports of 127.0.0.1 and 127.0.0.2, TCP and UDP, for what must know its port before it listens. They lie below the range from which the
/// system takes the ports of outgoing connections, and each test process has blocks of its own, so that a port stays free until it is used.
/// </summary>
/// <remarks>Whatever can listen on port 0 and say which port it got needs none of these.</remarks>
internal static class ReservedPorts
{
    private const int FirstPort = 10_000;
    private const int BlockSize = 500;

    private static readonly int BlockCount = (EphemeralStart() - FirstPort) / BlockSize;
    private static readonly Lock Gate = new();

    // Each listens on the first port of a block for as long as this process lives: a block is taken where that port is.
    private static readonly List<Socket> Blocks = [];
    private static int _next;
    private static int _end;

    /// <summary>A port that this process has not given out before.</summary>
    public static int Next() => Next(1);

    /// <summary>The first of so many consecutive ports.</summary>
    /// <exception cref="InvalidOperationException">Other test processes have all the blocks.</exception>
    public static int Next(int count)
    {
        lock (Gate)
        {
            while (true)
            {
                if (_next + count > _end)
                {
                    TakeBlockNeedsLock();
                }
                var first = _next;
                _next += count;
                if (Enumerable.Range(first, count).All(IsFree)) // A program that is no test may have one.
                {
                    return first;
                }
            }
        }
    }

    private static void TakeBlockNeedsLock()
    {
        for (var i = 0; i < BlockCount; i++)
        {
            var first = FirstPort + ((Environment.ProcessId + i) % BlockCount * BlockSize);
            if (TryBind(IPAddress.Loopback, first, listens: true) is { } block)
            {
                Blocks.Add(block);
                (_next, _end) = (first + 1, first + BlockSize);
                return;
            }
        }
        throw new InvalidOperationException(
            $"every block of {BlockSize} ports from {FirstPort} is taken; end other test runs (ports {FirstPort}, " +
                $"{FirstPort + BlockSize}, … mark their blocks)");
    }

    private static bool IsFree(int port)
    {
        // Only bound: a program that is being started at this moment has a copy of every socket for a while. With SO_REUSEADDR, which .NET
        // sets, a copy that does not listen is in nobody's way.
        using var first = TryBind(IPAddress.Loopback, port, listens: false);
        using var second = OperatingSystem.IsMacOS() ? null : TryBind(IPAddress.Parse("127.0.0.2"), port, listens: false); // not on macOS
        return first is not null && (second is not null || OperatingSystem.IsMacOS()) && IsFreeForDatagrams(port);
    }

    // Any number may bind a port that none of them listens on.
    private static Socket? TryBind(IPAddress address, int port, bool listens)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.Bind(new IPEndPoint(address, port));
            if (listens)
            {
                socket.Listen(1);
            }
            return socket;
        }
        catch (SocketException)
        {
            socket.Dispose();
            return null;
        }
    }

    private static bool IsFreeForDatagrams(int port)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        try
        {
            socket.Bind(new IPEndPoint(IPAddress.Loopback, port));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    // Linux says where the range begins, by default at 32768. On Windows and macOS it begins at 49152.
    private static int EphemeralStart()
    {
        const string Range = "/proc/sys/net/ipv4/ip_local_port_range";
        const int Usual = 32_768;
        var start = File.Exists(Range) ? int.Parse(File.ReadAllText(Range).Split()[0], CultureInfo.InvariantCulture) : Usual;
        // The system takes from everywhere: then there is no safe place.
        return start >= FirstPort + (4 * BlockSize) ? Math.Min(start, Usual) : Usual;
    }
}
