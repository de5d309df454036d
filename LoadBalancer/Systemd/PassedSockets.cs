using System.Globalization;
using System.Net.Sockets;
using LoadBalancer.Transport;

namespace LoadBalancer.Systemd;

/// <summary>
/// Sockets that a service manager has bound for this process (sd_listen_fds(3)): those of a <c>.socket</c> unit of systemd, which it
/// keeps open while the service restarts.
/// </summary>
internal static class PassedSockets
{
    private const int First = 3; // SD_LISTEN_FDS_START
    private const int Most = 4096;

    // So that the file of a socket that nothing uses stays open.
    private static readonly List<Socket> All = [];

    /// <summary>
    /// Takes them, with their names (<c>FileDescriptorName=</c>). Variables that are for another process are ignored; none of them goes on
    /// to programs that this process starts.
    /// </summary>
    public static IReadOnlyList<(Socket Socket, string Name)> Take()
    {
        var (process, count, names) = (Take("LISTEN_PID"), Take("LISTEN_FDS"), Take("LISTEN_FDNAMES").Split(':'));
        if (process != Environment.ProcessId.ToString(CultureInfo.InvariantCulture)
            || !int.TryParse(count, NumberStyles.None, CultureInfo.InvariantCulture, out var files))
        {
            return [];
        }
        var sockets = new List<(Socket, string)>();
        for (var i = 0; i < Math.Min(files, Most) && FilePassing.KeepFromChildren(First + i); i++)
        {
            try
            {
                var socket = new Socket(new SafeSocketHandle(First + i, ownsHandle: true));
                All.Add(socket);
                sockets.Add((socket, i < names.Length && names[i].Length > 0 ? names[i] : "unknown"));
            }
            catch (SocketException)
            {
                // A file that is no socket.
            }
        }
        return sockets;
    }

    private static string Take(string variable)
    {
        var value = Environment.GetEnvironmentVariable(variable);
        Environment.SetEnvironmentVariable(variable, null);
        return value ?? "";
    }
}
