using LoadBalancer.Configuration;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Tests.Configuration.ChatRoom;

/// <summary>ChatRoom files: what they are translated to, and what is reported of those that are wrong.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class ChatRoomFileTests : IDisposable
{
    private const string Fl = """
        {
          "mode": "fl", // clients
          "client_tcp_listening_addr": "0.0.0.0:3001",
          "logic_heartbeat_udp_addr": "0.0.0.0:5000",
          "logic_servers": [ "0.0.0.0:7000 0.0.0.0:7001", "[::1]:7002\t127.0.0.1:7003", ],
        }
        """;

    private const string Ld = """
        {
          "mode": "ld",
          "logic_servers_tcp_listening_addr": "127.0.0.1:4001",
          "logic_servers_heartbeat_udp_addr": "127.0.0.1:5001",
          "logic_servers": [ "127.0.0.1:7000 127.0.0.1:7001" ],
          "data_servers_tcp_listening_addr": "127.0.0.1:4002",
          "data_servers_hearbeat_udp_addr": "127.0.0.1:5002",
          "data_servers": [ "127.0.0.1:8000 127.0.0.1:8001" ]
        }
        """;

    private readonly string _file = Path.GetTempFileName();

    public void Dispose() => File.Delete(_file);

    [Test]
    public void Load_ModeFl_LeadsClientsToLogicServers()
    {
        var loaded = Load(Fl);

        loaded.Errors.Should().BeEmpty();
        var (name, listener) = loaded.Options.Listeners.Should().ContainSingle().Which;
        (name, listener.Protocol).Should().Be(("clients", ListenerProtocol.Tcp));
        Text(listener).Should().Be("""tcp://0.0.0.0:3001 to logic: {"response_code":503,"response_text":"No available backend"}""");
        Text(loaded, "logic").Should().Be(
            "udp://0.0.0.0:5000: logic1 tcp://0.0.0.0:7000 udp://0.0.0.0:7001, logic2 tcp://[::1]:7002 udp://127.0.0.1:7003");
    }

    [TestCase(false)]
    [TestCase(true)]
    public void Load_ModeLd_LeadsEachSideToTheOther(bool speltRight)
    {
        var loaded = Load(speltRight ? Ld.Replace("hearbeat", "heartbeat", StringComparison.Ordinal) : Ld);

        loaded.Errors.Should().BeEmpty();
        var (logic, data) = (loaded.Options.Listeners["logic"], loaded.Options.Listeners["data"]);
        Text(logic).Should().Be("""tcp://127.0.0.1:4001 to data: {"response_code":503,"response_text":"No backend available"}""");
        Text(data).Should().Be("""tcp://127.0.0.1:4002 to logic: {"response_code":503,"response_text":"No frontend available"}""");
        Text(loaded, "logic").Should().Be("udp://127.0.0.1:5001: logic1 tcp://127.0.0.1:7000 udp://127.0.0.1:7001");
        Text(loaded, "data").Should().Be("udp://127.0.0.1:5002: data1 tcp://127.0.0.1:8000 udp://127.0.0.1:8001");
    }

    [Test]
    public void Load_Overrides_HoldAsForAnyFile()
    {
        var loaded = Load(
            Fl, "--LoadBalancer:Pools:logic:Policy=LeastConnections", "--LoadBalancer:Management:Address=http://127.0.0.1:8081",
            "--LoadBalancer:Pools:logic:Heartbeat:Timeout=00:00:05");

        loaded.Errors.Should().BeEmpty();
        loaded.Options.Pools["logic"].Policy.Should().Be(PolicyName.LeastConnections);
        loaded.Options.Pools["logic"].Heartbeat!.Timeout.Should().Be(TimeSpan.FromSeconds(5));
        loaded.Options.Management.Should().NotBeNull();
        Load(Fl, "--LoadBalancer:Pools:logic:Policy=Fist").Errors.Should().ContainSingle()
            .Which.ToString().Should().StartWith("LoadBalancer:Pools:logic:Policy: 'Fist' is not valid");
    }

    [TestCase("\"fl\"", "\"x\"", "mode: 'x' is not valid; expected fl or ld")]
    [TestCase("\"mode\": \"fl\",", "", "mode: is missing; expected fl or ld")]
    [TestCase("\"client_tcp_listening_addr\": \"0.0.0.0:3001\",", "",
        "client_tcp_listening_addr: is missing; expected ip:port, for example 0.0.0.0:3001")]
    [TestCase("0.0.0.0:3001", "localhost:3001",
        "client_tcp_listening_addr: 'localhost:3001' is not an address; expected ip:port, for example 0.0.0.0:3001")]
    [TestCase("0.0.0.0:5000", "0.0.0.0",
        "logic_heartbeat_udp_addr: '0.0.0.0' is not an address; expected ip:port, for example 0.0.0.0:3001")]
    [TestCase("0.0.0.0:7000 0.0.0.0:7001", "0.0.0.0:7000",
        "logic_servers:0: '0.0.0.0:7000' is not a server; expected \"<tcp ip:port> <udp ip:port>\"")]
    [TestCase("0.0.0.0:7000 0.0.0.0:7001", "0.0.0.0:0 0.0.0.0:7001",
        "logic_servers:0: '0.0.0.0:0 0.0.0.0:7001' is not a server; expected \"<tcp ip:port> <udp ip:port>\"")]
    [TestCase("[ \"0.0.0.0:7000 0.0.0.0:7001\", \"[::1]:7002\\t127.0.0.1:7003\", ]", "[]",
        "logic_servers: is no list of servers; expected [ \"<tcp ip:port> <udp ip:port>\", … ]")]
    [TestCase("[ \"0.0.0.0:7000 0.0.0.0:7001\", \"[::1]:7002\\t127.0.0.1:7003\", ]", "\"0.0.0.0:7000 0.0.0.0:7001\"",
        "logic_servers: is no list of servers; expected [ \"<tcp ip:port> <udp ip:port>\", … ]")]
    [TestCase("127.0.0.1:7003", "0.0.0.0:7001", "logic_servers:1: 'udp://0.0.0.0:7001' is that of backend 'logic1' already")]
    [TestCase("\"mode\"", "\"logic_server\": [], \"mode\"", "logic_server: unknown key; did you mean 'logic_servers'?")]
    [TestCase("\"mode\"", "\"data_servers\": [], \"mode\"", "data_servers: is for mode ld; this one is fl")]
    public void Load_SomethingIsWrong_IsReportedByItsPathInTheFile(string part, string other, string error) =>
        Errors(Fl.Replace(part, other, StringComparison.Ordinal)).Should().Equal(error);

    [Test]
    public void Load_BothSpellings_IsAnError() =>
        Errors(Ld.Replace("\"mode\"", "\"data_servers_heartbeat_udp_addr\": \"127.0.0.1:1\", \"mode\"", StringComparison.Ordinal))
            .Should().Equal("data_servers_heartbeat_udp_addr: is there as data_servers_hearbeat_udp_addr too; expected one of them");

    [Test]
    public void Load_MuchIsWrong_IsReportedAtOnce() =>
        Errors(Ld.Replace("127.0.0.1:4002", "127.0.0.1:4001", StringComparison.Ordinal)
            .Replace("127.0.0.1:8000", "x", StringComparison.Ordinal)
            .Replace("\"mode\"", "\"modes\": 1, \"mode\"", StringComparison.Ordinal)).Should().Equal(
            "modes: unknown key; did you mean 'mode'?",
            "data_servers:0: 'x 127.0.0.1:8001' is not a server; expected \"<tcp ip:port> <udp ip:port>\"",
            "data_servers_tcp_listening_addr: tcp://127.0.0.1:4001 is already taken by listener 'logic'");

    private static string Text(ListenerOptions listener) =>
        $"{listener.Address} to {listener.Pool}: {((TcpListenerOptions)listener).UnavailableMessage}";

    private static string Text(LoadedConfiguration loaded, string pool)
    {
        var options = loaded.Options.Pools[pool];
        var backends = options.Backends.Select(entry => $"{entry.Key} {entry.Value.Address} {entry.Value.HeartbeatAddress}");
        return $"{options.Heartbeat!.Address}: {string.Join(", ", backends)}";
    }

    private string[] Errors(string text) => [.. Load(text).Errors.Select(error => $"{error with { Line = null }}")];

    private LoadedConfiguration Load(string text, params string[] overrides)
    {
        File.WriteAllText(_file, text);
        return ConfigurationLoader.Load(_file, overrides);
    }
}
