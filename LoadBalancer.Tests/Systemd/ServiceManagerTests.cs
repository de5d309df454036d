using System.Net.Sockets;
using System.Text;
using LoadBalancer.Systemd;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace LoadBalancer.Tests.Systemd;

/// <summary>What systemd is told, over a datagram socket as it opens one.</summary>
[Platform("Linux")]
internal sealed class ServiceManagerTests
{
    [TestCase(false)]
    [TestCase(true)]
    public async Task Ready_Always_NamesThisProcess(bool isAbstract)
    {
        using var directory = new TemporaryDirectory();
        var path = isAbstract ? $"@loadbalancer-test-{Guid.NewGuid()}" : directory.File("notify");
        using var systemd = Listen(path);

        new ServiceManager(path, TimeProvider.System, NullLogger<ServiceManager>.Instance).Ready();

        (await ReadAsync(systemd)).Should().Be($"READY=1\nMAINPID={Environment.ProcessId}");
    }

    [Test]
    public async Task Reloading_Always_HasTheTimeOfTheSystem()
    {
        using var directory = new TemporaryDirectory();
        var path = directory.File("notify");
        using var systemd = Listen(path);
        var before = Environment.TickCount64 * 1000;

        new ServiceManager(path, TimeProvider.System, NullLogger<ServiceManager>.Instance).Reloading();

        var text = await ReadAsync(systemd);
        text.Should().StartWith("RELOADING=1\nMONOTONIC_USEC=");
        // The counter of the system has steps of some milliseconds.
        long.Parse(text.Split('=')[^1], System.Globalization.CultureInfo.InvariantCulture).Should().BeGreaterThan(before - 20_000)
            .And.BeLessThan((Environment.TickCount64 * 1000) + 20_000);
    }

    [TestCase(null)]
    [TestCase("")]
    [TestCase("relative")]
    public void Stopping_NoServiceManager_DoesNothing(string? path)
    {
        var log = new LogRecorder();
        using var loggers = LoggerFactory.Create(logging => logging.AddProvider(log));

        new ServiceManager(path, TimeProvider.System, loggers.CreateLogger<ServiceManager>()).Stopping();

        log.Lines.Should().BeEmpty();
    }

    [Test]
    public void Stopping_NobodyListens_IsAWarning()
    {
        var log = new LogRecorder();
        using var loggers = LoggerFactory.Create(logging => logging.AddProvider(log));

        new ServiceManager("/nowhere/notify", TimeProvider.System, loggers.CreateLogger<ServiceManager>()).Stopping();

        log.Lines.Should().ContainSingle().Which.Should().Contain("/nowhere/notify (NOTIFY_SOCKET) was not told STOPPING=1");
    }

    private static Socket Listen(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(path[0] == '@' ? '\0' + path[1..] : path));
        return socket;
    }

    private static async Task<string> ReadAsync(Socket socket)
    {
        var buffer = new byte[1000];
        return Encoding.UTF8.GetString(buffer, 0, await socket.ReceiveAsync(buffer));
    }
}
