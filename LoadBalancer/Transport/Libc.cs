using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace LoadBalancer.Transport;

/// <summary>The system calls that the event loops need; constants as in the headers of Linux. Poll(2) is the same on every Unix.</summary>
internal static unsafe partial class Libc
{
    public const uint EpollIn = 0x1;
    public const uint EpollPri = 0x2;
    public const uint EpollOut = 0x4;
    public const uint EpollErr = 0x8;
    public const uint EpollHup = 0x10;
    public const uint EpollRdHup = 0x2000;
    public const uint EpollEt = 0x80000000;
    public const int CtlAdd = 1;
    public const int CtlDelete = 2;
    public const int CloseOnExec = 0x80000; // SOCK_CLOEXEC and EPOLL_CLOEXEC
    public const int Duplicate = 1030; // F_DUPFD_CLOEXEC
    public const int SetFlags = 2; // F_SETFD
    public const int NonBlocking = 0x800; // SOCK_NONBLOCK
    public const int Peek = 0x2;
    public const int DontWait = 0x40;
    public const int NoSignal = 0x4000;
    public const int More = 0x8000;
    public const int ShutSend = 1;
    public const int ShutBoth = 2;
    public const int SolSocket = 1;
    public const int SoError = 4;
    public const int SoKeepAlive = 9;
    public const int Tcp = 6; // IPPROTO_TCP, the level of the next four
    public const int TcpNoDelay = 1;
    public const int TcpKeepIdle = 4;
    public const int TcpKeepInterval = 5;
    public const int TcpKeepCount = 6;
    public const uint QueuedToSend = 0x5411; // SIOCOUTQ
    public const uint NotYetSent = 0x894B; // SIOCOUTQNSD
    public const int TooManyFilesInSystem = 23;
    public const int TooManyFiles = 24;
    public const int NoSuchFile = 2;
    public const int PermissionDenied = 13;
    public const int NoDirectory = 20;
    public const int ReadOnly = 30;
    public const int AddressInUse = 98;
    public const int Again = 11;
    public const int ConnectionAborted = 103;
    public const int InProgress = 115;
    private const int OpenFiles = 7; // RLIMIT_NOFILE

    /// <summary>struct epoll_event is packed on x86-64, and nowhere else.</summary>
    public static readonly int EventDataOffset = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 4 : 8;

    /// <summary>The size of a struct epoll_event.</summary>
    public static readonly int EventSize = EventDataOffset + sizeof(ulong);

    [LibraryImport("libc", EntryPoint = "setpriority", SetLastError = true)]
    public static partial int SetPriority(int which, int who, int priority);

    [LibraryImport("libc", EntryPoint = "epoll_create1", SetLastError = true)]
    public static partial int EpollCreate(int flags);

    [LibraryImport("libc", EntryPoint = "epoll_ctl", SetLastError = true)]
    public static partial int EpollControl(int epoll, int operation, SafeHandle socket, byte* @event);

    [LibraryImport("libc", EntryPoint = "epoll_wait")]
    public static partial int EpollWait(int epoll, byte* events, int most, int milliseconds);

    [LibraryImport("libc", EntryPoint = "recv", SetLastError = true)]
    public static partial nint Receive(SafeHandle socket, byte* data, nuint length, int flags);

    [LibraryImport("libc", EntryPoint = "send", SetLastError = true)]
    public static partial nint Send(SafeHandle socket, byte* data, nuint length, int flags);

    [LibraryImport("libc", EntryPoint = "accept4", SetLastError = true)]
    public static partial int Accept(SafeHandle socket, byte* address, int* length, int flags);

    [LibraryImport("libc", EntryPoint = "socket", SetLastError = true)]
    public static partial int Socket(int family, int type, int protocol);

    [LibraryImport("libc", EntryPoint = "bind", SetLastError = true)]
    private static partial int Bind(SafeHandle socket, byte* address, int length);

    [LibraryImport("libc", EntryPoint = "connect", SetLastError = true)]
    public static partial int Connect(SafeHandle socket, byte* address, int length);

    [LibraryImport("libc", EntryPoint = "getsockname", SetLastError = true)]
    public static partial int LocalName(int socket, byte* address, int* length);

    [LibraryImport("libc", EntryPoint = "setsockopt", SetLastError = true)]
    public static partial int SetOption(SafeHandle socket, int level, int name, int* value, int length);

    [LibraryImport("libc", EntryPoint = "getsockopt", SetLastError = true)]
    public static partial int GetOption(SafeHandle socket, int level, int name, int* value, int* length);

    [LibraryImport("libc", EntryPoint = "ioctl")]
    private static partial int Query(SafeHandle socket, nuint what, int* value);

    [LibraryImport("libc", EntryPoint = "poll")]
    private static partial int Poll(PollEntry* entries, nuint count, int milliseconds);

    [LibraryImport("libc", EntryPoint = "shutdown")]
    public static partial int Shutdown(SafeHandle socket, int how);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    public static partial int Control(SafeHandle file, int command, int argument);

    [LibraryImport("libc", EntryPoint = "getrlimit")]
    private static partial int GetLimit(int resource, nuint* limits);

    [LibraryImport("libc", EntryPoint = "setrlimit")]
    private static partial int SetLimit(int resource, nuint* limits);

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int GetStatus(int folder, string path, int flags, uint wanted, byte* status);

    [LibraryImport("libc", EntryPoint = "close")]
    public static partial int Close(nint file);

    /// <summary>
    /// How many files this process may have open, after that was raised as far as it may be. The runtime does the same, but not where the
    /// program was compiled ahead of time.
    /// </summary>
    public static int RaiseFileLimit()
    {
        var limits = stackalloc nuint[2]; // struct rlimit: what holds, and how far it may be raised
        if (GetLimit(OpenFiles, limits) != 0)
        {
            return int.MaxValue;
        }
        var held = limits[0];
        limits[0] = limits[1];
        return (int)Math.Min(SetLimit(OpenFiles, limits) == 0 ? limits[0] : held, int.MaxValue);
    }

    /// <summary>How many files this process may have open now; null without a limit.</summary>
    public static long? FileLimit()
    {
        var limits = stackalloc nuint[2];
        return GetLimit(OpenFiles, limits) == 0 && limits[0] < long.MaxValue ? (long)limits[0] : null;
    }

    /// <summary>
    /// How many files this process has open: told by Linux 6.2 and later, in no time, and also if there is none left to open. Null if the
    /// system does not say.
    /// </summary>
    public static long? CountOpenFiles()
    {
        const int WorkingFolder = -100; // AT_FDCWD, without meaning for a whole path
        const uint Size = 0x200; // STATX_SIZE
        const int SizeAt = 40; // in struct statx, which is the same on every processor
        var status = stackalloc byte[256];
        return GetStatus(WorkingFolder, "/proc/self/fd", 0, Size, status) == 0 && *(long*)(status + SizeAt) is > 0 and var count
            ? count : null;
    }

    /// <summary>Asks the system for a number about a socket, such as <see cref="NotYetSent"/>; 0 where the connection has ended.</summary>
    /// <exception cref="ObjectDisposedException">It was closed.</exception>
    public static int Query(SafeHandle socket, nuint what)
    {
        var value = 0;
        _ = Query(socket, what, &value); // fails where it has ended
        return value;
    }

    /// <summary>Whether an error waits to be read from the socket, as after a reset. Does not take it, and does not wait.</summary>
    /// <exception cref="ObjectDisposedException">It was closed.</exception>
    public static bool HasError(SafeHandle socket)
    {
        const short PollErr = 0x8;
        var isHeld = false;
        try
        {
            socket.DangerousAddRef(ref isHeld);
            var entry = new PollEntry { File = (int)socket.DangerousGetHandle() };
            return Poll(&entry, 1, 0) > 0 && (entry.Returned & PollErr) != 0;
        }
        finally
        {
            if (isHeld)
            {
                socket.DangerousRelease();
            }
        }
    }

    /// <summary>Binds a socket; the framework would do more than that with a Unix socket.</summary>
    /// <returns>The error number; 0 for none.</returns>
    public static int Bind(SafeHandle socket, SocketAddress address)
    {
        fixed (byte* name = address.Buffer.Span)
        {
            return Bind(socket, name, address.Size) == 0 ? 0 : Marshal.GetLastPInvokeError();
        }
    }

    /// <summary>What the last call's error number means in the framework's words.</summary>
    public static SocketException LastError() => Error(Marshal.GetLastPInvokeError());

    /// <summary>What an error number means in the framework's words.</summary>
    public static SocketException Error(int number) => new((int)(number switch
    {
        Again => SocketError.WouldBlock,
        12 or 105 => SocketError.NoBufferSpaceAvailable, // ENOMEM, ENOBUFS
        PermissionDenied => SocketError.AccessDenied,
        TooManyFilesInSystem or TooManyFiles => SocketError.TooManyOpenSockets,
        32 => SocketError.Shutdown, // EPIPE
        97 => SocketError.AddressFamilyNotSupported,
        AddressInUse => SocketError.AddressAlreadyInUse,
        99 => SocketError.AddressNotAvailable,
        101 => SocketError.NetworkUnreachable,
        ConnectionAborted => SocketError.ConnectionAborted,
        104 => SocketError.ConnectionReset,
        110 => SocketError.TimedOut,
        111 => SocketError.ConnectionRefused,
        113 => SocketError.HostUnreachable,
        _ => SocketError.SocketError,
    }));

    /// <summary>struct pollfd.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct PollEntry
    {
        public int File;
        public short Wanted;
        public short Returned;
    }
}
