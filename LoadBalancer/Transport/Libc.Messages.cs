using System.Runtime.InteropServices;

namespace LoadBalancer.Transport;

// How files travel from process to process: constants and structures as on 64-bit Linux.
internal static unsafe partial class Libc
{
    private const int CurrentDirectory = -100; // AT_FDCWD
    private const int StatusSize = 256; // struct statx is the same on every architecture

    public const int Unix = 1; // AF_UNIX
    public const int Stream = 1; // SOCK_STREAM
    public const int Rights = 1; // SCM_RIGHTS
    public const int ControlTruncated = 0x8; // MSG_CTRUNC
    public const int FilesCloseOnExec = 0x40000000; // MSG_CMSG_CLOEXEC
    public const int CloseOnExecFlag = 1; // FD_CLOEXEC
    public const int Interrupted = 4;

    [LibraryImport("libc", EntryPoint = "socketpair", SetLastError = true)]
    public static partial int SocketPair(int family, int type, int protocol, int* files);

    [LibraryImport("libc", EntryPoint = "sendmsg", SetLastError = true)]
    public static partial nint SendMessage(SafeHandle socket, Message* message, int flags);

    [LibraryImport("libc", EntryPoint = "recvmsg", SetLastError = true)]
    public static partial nint ReceiveMessage(SafeHandle socket, Message* message, int flags);

    [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
    public static partial int Control(int file, int command, int argument);

    [LibraryImport("libc", EntryPoint = "geteuid")]
    public static partial uint User();

    [LibraryImport("libc", EntryPoint = "statx", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int Status(int directory, string path, int flags, uint wanted, byte* status);

    /// <summary>The number of the user that a file belongs to; null where there is no such file.</summary>
    public static uint? OwnerOf(string path)
    {
        const uint Owner = 0x8; // STATX_UID
        const int OwnerOffset = 20;
        var status = stackalloc byte[StatusSize];
        return Status(CurrentDirectory, path, 0, Owner, status) == 0 ? *(uint*)(status + OwnerOffset) : null;
    }

    /// <summary>What a file is, and which one; of a link, the link itself. Null where there is no such file.</summary>
    public static FileStatus? StatusOf(string path)
    {
        const int NoFollow = 0x100; // AT_SYMLINK_NOFOLLOW
        const uint TypeAndInode = 0x1 | 0x100; // STATX_TYPE, STATX_INO
        const int ModeOffset = 28;
        const int InodeOffset = 32;
        const int DeviceOffset = 136;
        const int TypeMask = 0xF000; // S_IFMT
        const int SocketType = 0xC000; // S_IFSOCK
        var status = stackalloc byte[StatusSize];
        return Status(CurrentDirectory, path, NoFollow, TypeAndInode, status) != 0 ? null : new FileStatus(
            (*(ushort*)(status + ModeOffset) & TypeMask) == SocketType, *(ulong*)(status + DeviceOffset), *(ulong*)(status + InodeOffset));
    }

    /// <summary>What a file is, and which one.</summary>
    internal readonly record struct FileStatus(bool IsSocket, ulong Device, ulong Inode);

    /// <summary>struct iovec.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct Vector
    {
        public void* Base;
        public nuint Length;
    }

    /// <summary>struct msghdr.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct Message
    {
        public void* Name;
        public nuint NameLength;
        public Vector* Vectors;
        public nuint VectorCount;
        public void* Control;
        public nuint ControlLength;
        public int Flags;
    }

    /// <summary>struct cmsghdr; the numbers of the files follow.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct ControlHead
    {
        public nuint Length;
        public int Level;
        public int Type;
    }
}
