using System.Net;
using System.Net.Sockets;
using System.Runtime.ExceptionServices;
using System.Runtime.Versioning;
using LoadBalancer.Net;

namespace LoadBalancer.Transport;

/// <summary>Opens connections on the transport that this process uses.</summary>
internal static class Connector
{
    // RFC 8305 section 5: the next address is tried if the one before has not answered by then.
    private static readonly TimeSpan NextAddressAfter = TimeSpan.FromMilliseconds(250);

    // Between two attempts at a Unix socket whose queue is full.
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(5);
    private static readonly TimeSpan LongestPause = TimeSpan.FromMilliseconds(80);

    /// <summary>
    /// Connects. If the address is a name: to the first of its addresses that accepts. They are tried in the order of the answer, but IPv6
    /// and IPv4 in turn: the next one at once after a failure, and after 250 ms without an answer, while those before go on. So with a
    /// time-out of T each of N addresses has T/N at least, or 250 ms where that is more, as far as T goes.
    /// </summary>
    /// <param name="address">The address; the scheme is ignored.</param>
    /// <param name="hosts">The addresses of the name in it; null to look it up.</param>
    /// <param name="cancellationToken">Ends the attempt.</param>
    /// <param name="near">
    /// The new connection is placed on the event loop of this one, so that one thread serves both ends of a relay. Null: the caller's loop,
    /// or the next loop in turn if the caller is on none.
    /// </param>
    /// <exception cref="SocketException">The connection was refused, no file or port is left, or the name has no address.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public static Task<ISocketConnection> OpenAsync(
        EndpointAddress address, HostAddresses? hosts, CancellationToken cancellationToken, ISocketConnection? near = null) =>
        OpenAsync(TransportChoice.IsEpoll, address, hosts, cancellationToken, near);

    /// <summary>Connects on one of the transports, for tests of both.</summary>
    /// <inheritdoc cref="OpenAsync(EndpointAddress, HostAddresses, CancellationToken, ISocketConnection)"/>
    public static Task<ISocketConnection> OpenAsync(
        bool isEpoll, EndpointAddress address, HostAddresses? hosts, CancellationToken cancellationToken, ISocketConnection? near = null)
    {
        if (!isEpoll || !OperatingSystem.IsLinux())
        {
            return FirstAsync<ISocketConnection>(
                address, hosts,
                async (one, token) => new SocketConnection(await ConnectAsync(one, token)) { Peer = (one as IPEndPoint)?.Address },
                cancellationToken);
        }
        return OpenOnLoopAsync(address, hosts, near, cancellationToken);
    }

    [SupportedOSPlatform("linux")]
    private static Task<ISocketConnection> OpenOnLoopAsync(
        EndpointAddress address, HostAddresses? hosts, ISocketConnection? near, CancellationToken cancellationToken)
    {
        var loop = near is EpollConnection connection ? connection.Loop : EventLoop.Current ?? EventLoop.Next();
        return FirstAsync<ISocketConnection>(
            address, hosts, async (ip, token) => await EpollConnection.OpenAsync(ip, loop, token), cancellationToken);
    }

    /// <summary>Connects a socket of the framework, for code that needs one, such as its TLS.</summary>
    /// <inheritdoc cref="OpenAsync(EndpointAddress, HostAddresses, CancellationToken, ISocketConnection)" path="/exception"/>
    public static Task<Socket> OpenSocketAsync(EndpointAddress address, HostAddresses? hosts, CancellationToken cancellationToken) =>
        FirstAsync(address, hosts, ConnectAsync, cancellationToken);

    private static async Task<T> FirstAsync<T>(
        EndpointAddress address, HostAddresses? hosts, Func<EndPoint, CancellationToken, Task<T>> connectAsync,
        CancellationToken cancellationToken)
        where T : IDisposable
    {
        if (address.IsUnix)
        {
            return await ConnectToUnixAsync(address.UnixEndPoint, connectAsync, cancellationToken);
        }
        if (IPAddress.TryParse(address.Host, out var only))
        {
            return await connectAsync(new IPEndPoint(only, address.Port), cancellationToken);
        }
        var addresses = hosts is not null
            ? await hosts.GetAsync(cancellationToken)
            : HostAddresses.Alternate(await Dns.GetHostAddressesAsync(address.Host, cancellationToken));
        return await FirstAsync(
            [.. addresses.Select(ip => new IPEndPoint(ip, address.Port))], connectAsync, TimeProvider.System, cancellationToken);
    }

    /// <summary>Connects to the addresses, one after the other, and returns the first connection.</summary>
    /// <param name="addresses">The addresses.</param>
    /// <param name="connectAsync">Connects to one of them.</param>
    /// <param name="time">The clock of the pauses between them.</param>
    /// <param name="cancellationToken">Ends all attempts.</param>
    internal static async Task<T> FirstAsync<T>(
        IReadOnlyList<EndPoint> addresses, Func<EndPoint, CancellationToken, Task<T>> connectAsync, TimeProvider time,
        CancellationToken cancellationToken)
        where T : IDisposable
    {
        Exception failure = new SocketException((int)SocketError.HostNotFound);
        using var others = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        List<Task<T>> attempts = [];
        try
        {
            for (var next = 0; ;)
            {
                cancellationToken.ThrowIfCancellationRequested();
                if (next < addresses.Count)
                {
                    attempts.Add(connectAsync(addresses[next++], others.Token));
                }
                if (attempts.Count == 0)
                {
                    ExceptionDispatchInfo.Throw(failure);
                }
                Task first = Task.WhenAny(attempts);
                await (next < addresses.Count ? first.WaitAsync(NextAddressAfter, time, cancellationToken) : first)
                    .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                foreach (var ended in attempts.FindAll(attempt => attempt.IsCompleted))
                {
                    attempts.Remove(ended);
                    if (ended.IsCompletedSuccessfully)
                    {
                        return await ended;
                    }
                    failure = ended.Exception?.InnerException ?? new OperationCanceledException(cancellationToken);
                }
            }
        }
        finally
        {
            await others.CancelAsync();
            foreach (var late in attempts)
            {
                await ((Task)late).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                if (late.IsCompletedSuccessfully)
                {
                    (await late).Dispose(); // It had connected just before it was cancelled.
                }
            }
        }
    }

    // Where the queue of a TCP socket is full, the system tries again; with a Unix socket that is the caller's part.
    private static async Task<T> ConnectToUnixAsync<T>(
        EndPoint address, Func<EndPoint, CancellationToken, Task<T>> connectAsync, CancellationToken cancellationToken)
    {
        for (var pause = FirstPause; ; pause = pause < LongestPause ? pause * 2 : pause)
        {
            try
            {
                return await connectAsync(address, cancellationToken);
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.WouldBlock)
            {
                await Task.Delay(pause, TimeProvider.System, cancellationToken);
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressNotAvailable)
            {
                throw new NoSuchSocketException(); // The framework's word for ENOENT.
            }
        }
    }

    private static async Task<Socket> ConnectAsync(EndPoint address, CancellationToken cancellationToken)
    {
        var isTcp = address is IPEndPoint;
        var socket = new Socket(address.AddressFamily, SocketType.Stream, isTcp ? ProtocolType.Tcp : ProtocolType.Unspecified);
        try
        {
            if (OperatingSystem.IsLinux() && socket.Handle >= FileReserve.BackendsEnd)
            {
                throw Libc.Error(Libc.TooManyFiles);
            }
            if (isTcp)
            {
                socket.NoDelay = true;
            }
            await socket.ConnectAsync(address, cancellationToken);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
