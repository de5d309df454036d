using System.Diagnostics;
using System.Net;
using LoadBalancer.Discovery;

namespace LoadBalancer.Tests.Support;

/// <summary>A real DNS server, dnsmasq, on a free port of 127.0.0.1, for the names below <c>.test</c>.</summary>
internal sealed class Dnsmasq : IAsyncDisposable
{
    private const string Program = "/usr/sbin/dnsmasq"; // Debian's

    private readonly TemporaryDirectory _files = new();
    private readonly Process _process;
    private readonly IPEndPoint _server;

    private Dnsmasq(int port, string[] hosts, string[] options)
    {
        _server = new IPEndPoint(IPAddress.Loopback, port);
        File.WriteAllLines(_files.File("hosts"), hosts);
        _process = Process.Start(new ProcessStartInfo(
            Program,
            [
                "--no-daemon", "--conf-file=/dev/null", "--pid-file=", "--user=", "--no-resolv", "--no-hosts", "--local=/test/",
                "--listen-address=127.0.0.1", "--bind-interfaces", "--local-ttl=5", $"--port={port}",
                $"--addn-hosts={_files.File("hosts")}",
                .. options,
            ])
        { RedirectStandardError = true })!;
        _process.ErrorDataReceived += (_, _) => { };
        _process.BeginErrorReadLine();
    }

    /// <summary>Its address, as a configuration has it.</summary>
    public string Address => $"{_server}";

    /// <summary>Starts it. The test is skipped if it is not installed.</summary>
    /// <param name="hosts">Lines as in /etc/hosts.</param>
    /// <param name="options">Further options.</param>
    public static async Task<Dnsmasq> StartAsync(string[] hosts, params string[] options)
    {
        if (!File.Exists(Program) || !OperatingSystem.IsLinux())
        {
            Assert.Ignore($"there is no dnsmasq here ({Program}); on Debian: apt-get install dnsmasq-base");
        }
        var server = new Dnsmasq(ReservedPorts.Next(), hosts, options);
        await server.AnswersAsync(hosts);
        return server;
    }

    /// <summary>Replaces the hosts that it knows.</summary>
    public async Task SetHostsAsync(params string[] hosts)
    {
        await File.WriteAllLinesAsync(_files.File("hosts"), hosts);
        using var hangUp = Process.Start("kill", ["-HUP", $"{_process.Id}"]);
        await hangUp.WaitForExitAsync();
        await AnswersAsync(hosts);
    }

    public async ValueTask DisposeAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
        _process.Dispose();
        _files.Dispose();
    }

    // Until it says of the first name, by its IPv4 addresses, what is in the lines.
    private Task AnswersAsync(string[] hosts)
    {
        var name = hosts[0].Split(' ')[1];
        var wanted = hosts.Select(line => line.Split(' ')).Where(words => words[1] == name && !words[0].Contains(':'))
            .Select(words => words[0]).ToHashSet();
        return Eventually.BeTrueAsync(
            async () =>
            {
                _process.HasExited.Should().BeFalse("dnsmasq runs");
                try
                {
                    var answer = await DnsServer.AskAsync(_server, name, DnsRecordType.A, TimeProvider.System, default);
                    return wanted.SetEquals(answer.Answers.Select(record => $"{record.Address}"));
                }
                catch (LookupException)
                {
                    return false; // not yet
                }
            },
            "dnsmasq has the hosts");
    }
}
