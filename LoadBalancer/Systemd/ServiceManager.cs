using System.Globalization;
using System.Net.Sockets;

namespace LoadBalancer.Systemd;

/// <summary>
/// Tells systemd how this process is (sd_notify(3), for a unit of <c>Type=notify</c>). Without a service manager it does nothing.
/// </summary>
internal sealed partial class ServiceManager
{
    /// <summary>The environment variable with the path of its socket; <c>@</c> stands for an abstract one.</summary>
    public const string Variable = "NOTIFY_SOCKET";

    private readonly string? _path;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;

    /// <summary>Finds the service manager.</summary>
    /// <param name="path">The value of <see cref="Variable"/>; null where there is none.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Gets a warning where it cannot be told something.</param>
    public ServiceManager(string? path, TimeProvider time, ILogger<ServiceManager> logger)
    {
        _path = path is { Length: > 1 } && (path[0] == '/' || path[0] == '@') && OperatingSystem.IsLinux() ? path : null;
        (_time, _logger) = (time, logger);
    }

    /// <summary>This process serves. It is the main one of its unit, also where another one was until now.</summary>
    public void Ready() => Send($"READY=1\nMAINPID={Environment.ProcessId}");

    /// <summary>It applies a changed configuration; <see cref="Ready"/> follows.</summary>
    public void Reloading() => Send(string.Create(CultureInfo.InvariantCulture, $"RELOADING=1\nMONOTONIC_USEC={Microseconds}"));

    /// <summary>It ends, and the unit with it: not where another process has taken its place.</summary>
    public void Stopping() => Send("STOPPING=1");

    // CLOCK_MONOTONIC, which the clock of the system is on Linux.
    private long Microseconds => (long)(_time.GetTimestamp() * (1e6 / _time.TimestampFrequency));

    private void Send(string text)
    {
        if (_path is null)
        {
            return;
        }
        try
        {
            using var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
            socket.Blocking = false;
            var name = _path[0] == '@' ? '\0' + _path[1..] : _path;
            socket.SendTo(System.Text.Encoding.UTF8.GetBytes(text), new UnixDomainSocketEndPoint(name));
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            LogNotTold(_path, text.Split('\n')[0], e.Message);
        }
    }

    [LoggerMessage(190, LogLevel.Warning, "the service manager at {Path} (NOTIFY_SOCKET) was not told {What}: {Reason}")]
    private partial void LogNotTold(string path, string what, string reason);
}
