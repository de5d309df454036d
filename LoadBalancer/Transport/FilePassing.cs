using System.Net.Sockets;
using System.Runtime.InteropServices;

namespace LoadBalancer.Transport;

/// <summary>Sends open sockets to another process (<c>SCM_RIGHTS</c>, unix(7)): it gets files of its own for the same sockets.</summary>
internal static unsafe class FilePassing
{
    /// <summary>The most files in one message; the kernel takes 253.</summary>
    public const int MostFiles = 200;

    private static readonly int ControlSize = sizeof(Libc.ControlHead) + (MostFiles * sizeof(int));

    /// <summary>Makes two connected sockets. The first is ours; the second is for a process that is started, which inherits it.</summary>
    /// <exception cref="SocketException">There are too many files.</exception>
    public static (Socket Ours, SafeSocketHandle Theirs) NewPair()
    {
        var files = stackalloc int[2];
        if (Libc.SocketPair(Libc.Unix, Libc.Stream | Libc.CloseOnExec, 0, files) != 0)
        {
            throw Libc.LastError();
        }
        _ = Libc.Control(files[1], Libc.SetFlags, 0);
        return (new Socket(new SafeSocketHandle(files[0], ownsHandle: true)), new SafeSocketHandle(files[1], ownsHandle: true));
    }

    /// <summary>Keeps a file that this process has inherited from processes that it starts itself.</summary>
    /// <returns>False where there is no such file.</returns>
    public static bool KeepFromChildren(int file) => Libc.Control(file, Libc.SetFlags, Libc.CloseOnExecFlag) == 0;

    /// <summary>Sends these sockets, which stay open here, in as many messages as they need.</summary>
    /// <exception cref="SocketException">The other process is gone.</exception>
    public static void Send(Socket to, IReadOnlyList<Socket> sockets)
    {
        for (var sent = 0; sent == 0 || sent < sockets.Count; sent += MostFiles)
        {
            List<SafeHandle> some = [.. sockets.Skip(sent).Take(MostFiles).Select(socket => socket.SafeHandle)];
            Send(to.SafeHandle, some, isLast: sent + MostFiles >= sockets.Count);
        }
    }

    /// <summary>Receives them, in their order; blocks until they are there.</summary>
    /// <exception cref="SocketException">The other process is gone, or there are too many files.</exception>
    public static List<SafeSocketHandle> Receive(Socket from)
    {
        var received = new List<SafeSocketHandle>();
        var control = stackalloc byte[ControlSize];
        while (true)
        {
            byte isLast = 0;
            var vector = new Libc.Vector { Base = &isLast, Length = 1 };
            var message = new Libc.Message { Vectors = &vector, VectorCount = 1, Control = control, ControlLength = (nuint)ControlSize };
            var count = Libc.ReceiveMessage(from.SafeHandle, &message, Libc.FilesCloseOnExec);
            if (count < 0 && Marshal.GetLastPInvokeError() is Libc.Interrupted or Libc.Again)
            {
                from.Poll(Timeout.InfiniteTimeSpan, SelectMode.SelectRead); // The framework may have made it one that does not block.
                continue;
            }
            received.AddRange(count > 0 ? FilesOf(message) : []);
            if (count <= 0 || (message.Flags & Libc.ControlTruncated) != 0)
            {
                received.ForEach(file => file.Dispose());
                throw count < 0 ? Libc.LastError() : count == 0 ? new SocketException((int)SocketError.ConnectionReset)
                    : new SocketException((int)SocketError.TooManyOpenSockets);
            }
            if (isLast != 0)
            {
                return received;
            }
        }
    }

    private static void Send(SafeHandle to, List<SafeHandle> files, bool isLast)
    {
        var control = stackalloc byte[ControlSize];
        var length = sizeof(Libc.ControlHead) + (files.Count * sizeof(int));
        *(Libc.ControlHead*)control = new Libc.ControlHead { Length = (nuint)length, Level = Libc.SolSocket, Type = Libc.Rights };
        var held = 0;
        try
        {
            for (; held < files.Count; held++)
            {
                var isHeld = false;
                files[held].DangerousAddRef(ref isHeld);
                ((int*)(control + sizeof(Libc.ControlHead)))[held] = (int)files[held].DangerousGetHandle();
            }
            var last = isLast ? (byte)1 : (byte)0;
            var vector = new Libc.Vector { Base = &last, Length = 1 };
            var message = new Libc.Message { Vectors = &vector, VectorCount = 1 };
            if (files.Count > 0)
            {
                message.Control = control;
                message.ControlLength = (nuint)length;
            }
            if (Libc.SendMessage(to, &message, Libc.NoSignal) < 0)
            {
                throw Libc.LastError();
            }
        }
        finally
        {
            files.Take(held).ToList().ForEach(file => file.DangerousRelease());
        }
    }

    private static List<SafeSocketHandle> FilesOf(in Libc.Message message)
    {
        var files = new List<SafeSocketHandle>();
        var head = (Libc.ControlHead*)message.Control;
        if (message.ControlLength >= (nuint)sizeof(Libc.ControlHead) && head->Level == Libc.SolSocket && head->Type == Libc.Rights)
        {
            var numbers = (int*)(head + 1);
            for (var i = 0; i < ((int)head->Length - sizeof(Libc.ControlHead)) / sizeof(int); i++)
            {
                files.Add(new SafeSocketHandle(numbers[i], ownsHandle: true));
            }
        }
        return files;
    }
}
