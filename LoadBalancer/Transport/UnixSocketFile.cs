using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using LoadBalancer.Net;

namespace LoadBalancer.Transport;

/// <summary>
/// The file of a Unix socket that is listened on. The system neither removes it nor binds to one that is there, so both are done here.
/// The framework does it too, but it would also delete the file that another process has put there since, for instance after an upgrade.
/// </summary>
[SupportedOSPlatform("linux")]
internal sealed class UnixSocketFile
{
    /// <summary>Who may connect, unless told otherwise: the user and the group of this process.</summary>
    public const UnixFileMode DefaultMode =
        UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.GroupWrite;

    private const int MostTries = 3;

    private readonly string _path;
    private (ulong Device, ulong Inode)? _ours; // null: it belongs to somebody else

    private UnixSocketFile(string path) => _path = path;

    /// <summary>The file of a socket that is bound; null where it has none. It is somebody else's until <see cref="Own"/>.</summary>
    public static UnixSocketFile? Of(EndPoint? address) => PathOf(address) is { } path ? new UnixSocketFile(path) : null;

    /// <summary>The file is ours from now on.</summary>
    public void Own() => _ours = Libc.StatusOf(_path) is { IsSocket: true } found ? (found.Device, found.Inode) : null;

    /// <summary>The file is another process's from now on.</summary>
    public void Disown() => _ours = null;

    /// <summary>Its path, where the file is ours; else null.</summary>
    public string? OwnPath => _ours is null ? null : _path;

    /// <summary>Sets who may connect.</summary>
    /// <exception cref="UnixSocketException">It is not this process's file.</exception>
    public void SetMode(UnixFileMode mode)
    {
        try
        {
            File.SetUnixFileMode(_path, mode);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new UnixSocketException(SocketError.AccessDenied, $"the mode of {_path} cannot be set: {e.Message}");
        }
    }

    /// <summary>Removes the file, if it is still ours; before its socket is closed, so that its number is not given out again.</summary>
    public void Remove()
    {
        if (_ours is not { } ours || Libc.StatusOf(_path) is not { } found || (found.Device, found.Inode) != ours)
        {
            return;
        }
        _ours = null;
        try
        {
            File.Delete(_path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It stays, and is replaced at the next start.
        }
    }

    /// <summary>
    /// Binds a socket, and listens. Where the file of one is there that nobody listens on any more, it is replaced.
    /// </summary>
    /// <param name="address">The address.</param>
    /// <param name="mode">Who may connect.</param>
    /// <exception cref="UnixSocketException">The address cannot be had.</exception>
    public static Socket Bind(UnixDomainSocketEndPoint address, UnixFileMode mode)
    {
        var path = PathOf(address);
        for (var tries = 0; path is not null && tries < MostTries && Libc.StatusOf(path) is { } found; tries++)
        {
            RemoveUnused(path, found, address);
        }
        var file = Libc.Socket(Libc.Unix, Libc.Stream | Libc.CloseOnExec, 0);
        using var handle = new SafeSocketHandle(file >= 0 ? file : throw Libc.LastError(), ownsHandle: true);
        if (Libc.Bind(handle, address.Serialize()) is not 0 and var error)
        {
            throw new UnixSocketException(Libc.Error(error).SocketErrorCode, WhyNot(error, address));
        }
        Of(address)?.SetMode(mode); // Before it listens: until then nobody can connect.
        // The framework does not delete the file of a socket that it has not bound itself.
        var socket = new Socket(new SafeSocketHandle(handle.DangerousGetHandle(), ownsHandle: true));
        handle.SetHandleAsInvalid();
        socket.Listen(AcceptTrouble.Backlog);
        return socket;
    }

    // Of a socket without a file, null.
    private static string? PathOf(EndPoint? address) => address?.ToString() is { Length: > 0 } path && path[0] != '@' ? path : null;

    private static void RemoveUnused(string path, Libc.FileStatus found, UnixDomainSocketEndPoint address)
    {
        if (!found.IsSocket)
        {
            throw new UnixSocketException(
                SocketError.AddressAlreadyInUse, $"{path} is there, and is no socket; remove it, or choose another path");
        }
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified) { Blocking = false };
        try
        {
            socket.Connect(address);
            throw new UnixSocketException(SocketError.AddressAlreadyInUse, $"the socket is taken by {NameOfPeer(socket)}");
        }
        catch (SocketException e) when (e is not UnixSocketException)
        {
            switch (e.SocketErrorCode)
            {
                case SocketError.AddressNotAvailable: // It has just gone.
                    return;
                case SocketError.ConnectionRefused:
                    break;
                case SocketError.AccessDenied:
                    throw new UnixSocketException(
                        SocketError.AddressAlreadyInUse,
                        $"the socket {path} is another user's, and whether it is in use cannot be asked: permission denied");
                default: // Its queue is full, or it is no socket of streams.
                    throw new UnixSocketException(SocketError.AddressAlreadyInUse, "the socket is taken by another program");
            }
        }
        if (Libc.StatusOf(path) is { } now && now == found)
        {
            try
            {
                File.Delete(path);
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                throw new UnixSocketException(
                    SocketError.AccessDenied, $"{path} is left over from a program that has ended, and cannot be removed: {e.Message}");
            }
        }
    }

    // The process that listens, as the system has noted it (SO_PEERCRED, unix(7)).
    private static string NameOfPeer(Socket connected)
    {
        const int PeerCredentials = 17; // SO_PEERCRED: struct ucred begins with the process
        Span<byte> credentials = stackalloc byte[12];
        try
        {
            _ = connected.GetRawSocketOption(Libc.SolSocket, PeerCredentials, credentials);
            var process = BinaryPrimitives.ReadInt32LittleEndian(credentials);
            return process == Environment.ProcessId ? "this process"
                : process <= 0 ? "another program"
                : $"process {process} ({File.ReadAllText($"/proc/{process}/comm").Trim()})";
        }
        catch (Exception e) when (e is SocketException or IOException or UnauthorizedAccessException)
        {
            return "another program";
        }
    }

    private static string WhyNot(int error, UnixDomainSocketEndPoint address) => error switch
    {
        Libc.NoSuchFile or Libc.NoDirectory => $"the directory {Path.GetDirectoryName(PathOf(address))} is not there; create it first",
        Libc.PermissionDenied => $"permission denied; this process may not create files in {Path.GetDirectoryName(PathOf(address))}",
        Libc.ReadOnly => $"the file system of {Path.GetDirectoryName(PathOf(address))} is read-only",
        Libc.AddressInUse => "the socket is taken by another program",
        _ => Marshal.GetPInvokeErrorMessage(error),
    };
}
