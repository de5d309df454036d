using System.Net;
using System.Net.Sockets;
using LoadBalancer.Net;

namespace LoadBalancer.Transport;

/// <summary>
/// Binds every address of a node: those of its listeners, and those at which heartbeats arrive. A socket can go on to another listener
/// of this node, or to another process, without a moment in which nobody listens: the kernel's socket with its one queue of connections
/// stays until the last one that uses it has closed it.
/// </summary>
internal sealed class ListenSockets : IDisposable
{
    private readonly Lock _gate = new();
    private readonly List<ListenSocket> _open = [];
    private readonly List<ListenSocket> _offered = []; // bound by another process
    private readonly List<ListenSocket> _reserved = [];

    /// <summary>Whether a socket that is open can be kept for another listener; only Linux has what it takes.</summary>
    public static bool CanShare => OperatingSystem.IsLinux();

    /// <summary>Those that are open now, without those that only wait to be taken.</summary>
    public IReadOnlyList<ListenSocket> All
    {
        get
        {
            lock (_gate)
            {
                return [.. _open];
            }
        }
    }

    /// <summary>Takes the socket that was reserved or offered for an address, or binds a new one. One of TCP listens then.</summary>
    /// <param name="type">Stream for TCP, Dgram for UDP.</param>
    /// <param name="address">The address; port 0 is a new port, which the system chooses.</param>
    /// <param name="mode">Who may connect to a Unix socket; null for the user and the group of this process.</param>
    /// <exception cref="SocketException">The address cannot be had; <see cref="ListenAddress.WhyNot"/> says why in words.</exception>
    public ListenSocket Open(SocketType type, EndPoint address, UnixFileMode? mode = null)
    {
        lock (_gate)
        {
            var socket = Waiting.FirstOrDefault(waiting => waiting.IsFor(type, address));
            if (socket is null)
            {
                socket = BindNeedsLock(type, address, mode);
            }
            else
            {
                _ = _reserved.Remove(socket) || _offered.Remove(socket);
                SetMode(socket, mode);
            }
            socket.Closed = Forget;
            _open.Add(socket);
            return socket;
        }
    }

    /// <summary>
    /// The same as the other method, for the Unix socket or all IP addresses of TCP that a listener's address means.
    /// </summary>
    /// <exception cref="SocketException">One of them cannot be had; those before it may be reserved.</exception>
    public void Reserve(EndpointAddress address, bool isTrial = false, UnixFileMode? mode = null)
    {
        var isFirst = true;
        foreach (var one in ListenAddress.EndPoints(address))
        {
            try
            {
                Reserve(SocketType.Stream, one, isTrial, mode);
            }
            catch (SocketException e) when (e.SocketErrorCode == SocketError.AddressNotAvailable && !isFirst)
            {
                // The machine supports IPv6, but it is switched off.
            }
            isFirst = false;
        }
    }

    /// <summary>
    /// Makes sure that <see cref="Open"/> will succeed for an address: keeps the socket of the listener that has it now, which may be
    /// closed meanwhile, or binds a new one. Connections wait in the socket until they are accepted.
    /// </summary>
    /// <param name="type">Stream for TCP, Dgram for UDP.</param>
    /// <param name="address">The address.</param>
    /// <param name="isTrial">Whether nothing is kept: this only says whether the address could be had now.</param>
    /// <param name="mode">Who may connect to a Unix socket that is new; null for the user and the group of this process.</param>
    /// <exception cref="SocketException">The address cannot be had.</exception>
    public void Reserve(SocketType type, EndPoint address, bool isTrial = false, UnixFileMode? mode = null)
    {
        lock (_gate)
        {
            if (Waiting.Any(waiting => waiting.IsFor(type, address)))
            {
                return;
            }
            if (_open.Find(open => open.IsFor(type, address)) is not { } existing)
            {
                var socket = BindNeedsLock(type, address, mode);
                if (isTrial)
                {
                    socket.Dispose();
                }
                else
                {
                    _reserved.Add(socket);
                }
            }
            else if (CanShare && !isTrial)
            {
                _reserved.Add(existing.Share());
            }
        }
    }

    /// <summary>Gives a socket that another process has bound to the next <see cref="Open"/> of its address.</summary>
    public void Offer(Socket socket)
    {
        lock (_gate)
        {
            _offered.Add(new ListenSocket(socket));
        }
    }

    /// <summary>The files of Unix sockets that this process removes in the end.</summary>
    public IReadOnlyList<string> OwnFiles
    {
        get
        {
            lock (_gate)
            {
                return [.. _open.Select(socket => socket.OwnFile).OfType<string>().Distinct()];
            }
        }
    }

    /// <summary>The files of these Unix sockets are this process's from now on: the one before has left.</summary>
    public void Own(IReadOnlyCollection<string> files)
    {
        lock (_gate)
        {
            foreach (var socket in _open.Concat(Waiting).Where(socket => files.Contains($"{socket.Address}")))
            {
                if (OperatingSystem.IsLinux())
                {
                    socket.File?.Own();
                    socket.File?.SetMode(socket.Mode ?? UnixSocketFile.DefaultMode);
                }
            }
        }
    }

    /// <summary>The files of all Unix sockets are another process's from now on.</summary>
    public void DisownAll()
    {
        lock (_gate)
        {
            foreach (var socket in _open.Concat(Waiting))
            {
                if (OperatingSystem.IsLinux())
                {
                    socket.File?.Disown();
                }
            }
        }
    }

    /// <summary>Closes what was reserved and not taken.</summary>
    public void CloseReserved() => Close(_reserved);

    /// <summary>Closes what another process has bound and nothing here has taken.</summary>
    public void CloseOffered() => Close(_offered);

    /// <inheritdoc/>
    public void Dispose()
    {
        CloseReserved();
        CloseOffered();
    }

    // What waits to be taken.
    private IEnumerable<ListenSocket> Waiting => _reserved.Concat(_offered);

    // The same port at more or fewer addresses: no two listeners have that, so the other socket is of one that goes. Two sockets can only
    // have it where both agree, which they do for this moment alone: other programs are refused as before.
    private ListenSocket BindNeedsLock(SocketType type, EndPoint wanted, UnixFileMode? mode)
    {
        if (wanted is UnixDomainSocketEndPoint unix)
        {
            return ListenSocket.Bind(unix, mode);
        }
        var address = (IPEndPoint)wanted;
        var others = CanShare ? _open.Concat(Waiting).Where(other => other.Overlaps(type, address)).ToList() : [];
        if (others.Count == 0)
        {
            return ListenSocket.Bind(type, address);
        }
        others.ForEach(other => other.SharePort(true));
        try
        {
            var socket = ListenSocket.Bind(type, address, sharesPort: true);
            socket.SharePort(false);
            return socket;
        }
        finally
        {
            others.ForEach(other => other.SharePort(false));
        }
    }

    private static void SetMode(ListenSocket socket, UnixFileMode? mode)
    {
        socket.Mode = mode;
        if (OperatingSystem.IsLinux() && socket.OwnFile is not null)
        {
            socket.File!.SetMode(mode ?? UnixSocketFile.DefaultMode);
        }
    }

    private void Close(List<ListenSocket> sockets)
    {
        lock (_gate)
        {
            sockets.ForEach(socket => socket.Dispose());
            sockets.Clear();
        }
    }

    private void Forget(ListenSocket socket)
    {
        lock (_gate)
        {
            _open.Remove(socket);
        }
    }
}
