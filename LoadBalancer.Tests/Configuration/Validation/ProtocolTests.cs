using System.Net;
using LoadBalancer.Configuration;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Tests.Configuration.Validation;

/// <summary>Listeners of every protocol with the pools that fit them, and what does not fit.</summary>
internal sealed class ProtocolTests
{
    private const string Tcp = """
        "Listeners": { "chat": { "Protocol": "Tcp", "Address": "tcp://127.0.0.1:3001", "Pool": "logic", "IdleTimeout": "01:00:00",
            "UnavailableMessage": "gone", "AcceptProxyProtocol": true, "TrustedProxies": [ "10.0.0.0/8" ] } },
        "Pools": { "logic": { "SendProxyProtocol": true, "HealthCheck": {},
            "Heartbeat": {
                "Address": "udp://127.0.0.1:5000", "Timeout": "00:00:02", "Key": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=" },
            "Backends": { "logic1": { "Address": "tcp://127.0.0.1:7000", "HeartbeatAddress": "udp://127.0.0.1:7001" } } } }
        """;

    private const string Tasks = """
        "Listeners": { "tasks": { "Protocol": "Tasks", "Address": "tcp://127.0.0.1:8888", "WorkerAddress": "tcp://127.0.0.1:8889",
            "Pool": "tasks", "TaskTimeout": "00:01:00", "MaxAttempts": 3, "QueueLimit": 10000, "MaxLineLength": 65536,
            "MaxBufferedBytes": 268435456,
            "Queue": { "Engine": "RabbitMq", "Uri": "amqp://guest:guest@127.0.0.1:5672", "Name": "loadbalancer.tasks" } } },
        "Pools": { "tasks": { "Policy": "LeastConnections" } }
        """;

    private const string Broker = """
        "Listeners": { "store": { "Protocol": "Broker", "Address": "tcp://127.0.0.1", "Pool": "store",
            "Ports": {
                "Clients": 5550, "Workers": 5560, "HealthCheck": 5570, "AlternativePing": 5571,
                "WorkerCheckClients": 5572, "WorkerCheckWorkers": 5573 },
            "Role": "Alternative", "MainAddress": "127.0.0.2", "AdvertisedAddress": null,
            "PublishInterval": "00:00:01", "PeerTimeout": "00:00:05", "QueueLimit": 10000 } },
        "Pools": { "store": {} }
        """;

    private string _file = "";

    [SetUp]
    public void SetUp() => _file = Path.GetTempFileName();

    [TearDown]
    public void TearDown() => File.Delete(_file);

    [TestCase(Tcp)]
    [TestCase(Tasks)]
    [TestCase(Broker)]
    public void Load_WhatAProtocolCanHave_IsRead(string configuration) => Errors(configuration).Should().BeEmpty();

    [Test]
    public void Load_Broker_HasItsAddressesAndPorts()
    {
        var broker = Load(Broker).Options.Listeners["store"].Should().BeOfType<BrokerListenerOptions>().Subject;

        broker.Address.ToString().Should().Be("tcp://127.0.0.1");
        broker.MainAddress.Should().Be(IPAddress.Parse("127.0.0.2"));
        broker.Ports.Should().Be(new BrokerPorts());
    }

    [TestCase(Tcp, "tcp://127.0.0.1:3001", "http://127.0.0.1:3001",
        "Listeners:chat:Address: 'http://127.0.0.1:3001' does not fit here; expected tcp://host:port")]
    [TestCase(Tcp, "tcp://127.0.0.1:3001", "tcp://127.0.0.1",
        "Listeners:chat:Address: 'tcp://127.0.0.1' has no port; expected tcp://host:port")]
    [TestCase(Tcp, "\"IdleTimeout\": \"01:00:00\"", "\"Hsts\": \"max-age=1\"",
        "Listeners:chat:Hsts: is for Http listeners; this one's Protocol is Tcp")]
    [TestCase(Tcp, "\"IdleTimeout\": \"01:00:00\"", "\"HttpVersion\": \"3\"",
        "Listeners:chat:HttpVersion: '3' is not valid; expected 1.1, 2 or 1.1+2")]
    [TestCase(Tcp, "\"IdleTimeout\": \"01:00:00\"", "\"Idletimeot\": \"01:00:00\"",
        "Listeners:chat:Idletimeot: unknown key; did you mean 'IdleTimeout'?")]
    [TestCase(Tcp, "\"IdleTimeout\": \"01:00:00\"", "\"queuelimit\": 5",
        "Listeners:chat:queuelimit: is for Tasks and Broker listeners; this one's Protocol is Tcp")]
    [TestCase(Tasks, "\"TaskTimeout\": \"00:01:00\"", "\"TrustedProxies\": [ \"10.0.0.0/8\" ]",
        "Listeners:tasks:TrustedProxies: is for Http and Tcp listeners; this one's Protocol is Tasks")]
    [TestCase(Tcp, "[ \"10.0.0.0/8\" ]", "[]",
        "Listeners:chat:AcceptProxyProtocol: is true, but TrustedProxies names nobody who may say who a client is; "
        + "expected addresses or networks there")]
    [TestCase(Tcp, "tcp://127.0.0.1:7000", "http://127.0.0.1:7000",
        "Pools:logic:Backends:logic1:Address: 'http://127.0.0.1:7000' does not fit a Tcp listener; expected tcp://host:port")]
    [TestCase(Tcp, "tcp://127.0.0.1:7000", "tcp://logic",
        "Pools:logic:Backends:logic1:Address: 'tcp://logic' has no port; expected tcp://host:port")]
    [TestCase(Tcp, "udp://127.0.0.1:7001", "udp://logic:7001",
        "Pools:logic:Backends:logic1:HeartbeatAddress: 'udp://logic:7001' is not where datagrams can come from; "
        + "expected udp:// with an IP address and a port")]
    [TestCase(Tcp, "\"udp://127.0.0.1:7001\" }",
        "\"udp://127.0.0.1:7001\" }, "
        + "\"logic2\": { \"Address\": \"tcp://127.0.0.1:7002\", \"HeartbeatAddress\": \"udp://[::ffff:127.0.0.1]:7001\" }",
        "Pools:logic:Backends:logic2:HeartbeatAddress: 'udp://[::ffff:127.0.0.1]:7001' is that of backend 'logic1' already")]
    [TestCase(Tcp, ", \"HeartbeatAddress\": \"udp://127.0.0.1:7001\"", "",
        "Pools:logic:Backends:logic1:HeartbeatAddress: is missing; "
        + "expected where its heartbeats come from, for example udp://127.0.0.1:7001")]
    [TestCase(Tcp, "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "c2VjcmV0",
        "Pools:logic:Heartbeat:Key: is not valid; expected base64 of 32 bytes or more, as openssl rand -base64 32 makes it")]
    [TestCase(Tcp, "\"HealthCheck\": {}", "\"HealthCheck\": { \"Type\": \"Http\" }",
        "Pools:logic:HealthCheck:Type: is for pools of Http listeners; this one's is Tcp")]
    [TestCase(Tcp, "\"HealthCheck\": {}", "\"Policy\": \"Hash\", \"HashKey\": \"Header:X-User\"",
        "Pools:logic:HashKey: 'Header:X-User' is part of a request of an Http listener; this pool's listener is Tcp; "
        + "expected Client, or no HashKey")]
    [TestCase(Tcp, "\"HealthCheck\": {}", "\"Hedge\": {}", "Pools:logic:Hedge: is for pools of Http listeners; this one's is Tcp")]
    [TestCase(Tasks, "268435456", "1048575", "Listeners:tasks:MaxBufferedBytes: '1048575' is out of range; expected 1048576 or more")]
    [TestCase(Tasks, "\"MaxLineLength\": 65536", "\"MaxLineLength\": 67108865",
        "Listeners:tasks:MaxLineLength: '67108865' is out of range; expected 64 to 67108864 (64 MiB)")]
    [TestCase(Tasks, "8889", "8888", "Listeners:tasks:WorkerAddress: tcp://127.0.0.1:8888 is already taken by listener 'tasks'")]
    [TestCase(Tasks, "amqp://guest:guest@127.0.0.1:5672", "http://guest:hidden@127.0.0.1:5672",
        "Listeners:tasks:Queue:Uri: is not valid; expected amqp://host:port, "
        + "where needed with user and password before the host, percent-encoded")]
    [TestCase(Tasks, "\"LeastConnections\"", "\"First\", \"Backends\": { \"b\": { \"Address\": \"tcp://a:1\" } }",
        "Pools:tasks:Backends: is for backends that are known beforehand; the workers of a Tasks listener register themselves")]
    [TestCase(Tasks, "\"LeastConnections\"", "\"First\", \"HealthCheck\": {}",
        "Pools:tasks:HealthCheck: is for pools of Http and Tcp listeners; this one's is Tasks")]
    [TestCase(Tasks, "\"LeastConnections\"", "\"First\", \"PassiveHealth\": { \"Outliers\": {} }",
        "Pools:tasks:PassiveHealth:Outliers: is for pools of Http and Tcp listeners; this one's is Tasks")]
    [TestCase(Tasks, "\"LeastConnections\"", "\"Hash\", \"HashKey\": \"Path\"",
        "Pools:tasks:HashKey: 'Path' is part of a request of an Http listener; this pool's listener is Tasks; "
        + "expected Client, or no HashKey")]
    [TestCase(Broker, "\"tcp://127.0.0.1\"", "\"tcp://127.0.0.1:5550\"",
        "Listeners:store:Address: 'tcp://127.0.0.1:5550' does not fit a Broker listener; "
        + "expected tcp:// and an IP address without a port, for that stands in Ports")]
    [TestCase(Broker, "\"MainAddress\": \"127.0.0.2\"", "\"MainAddress\": null",
        "Listeners:store:MainAddress: is missing; an alternative needs the IP address of its main")]
    [TestCase(Broker, "\"MainAddress\": \"127.0.0.2\"", "\"MainAddress\": \"main\"",
        "Listeners:store:MainAddress: 'main' is not valid; expected an IP address, for example 127.0.0.1")]
    [TestCase(Broker, "\"Alternative\"", "\"Main\"", "Listeners:store:MainAddress: is for an Alternative; this node's Role is Main")]
    [TestCase(Broker, "5560", "5550", "Listeners:store:Ports:Workers: tcp://127.0.0.1:5550 is already taken by listener 'store'")]
    [TestCase(Broker, "\"00:00:05\"", "\"00:00:01\"",
        "Listeners:store:PeerTimeout: '00:00:01' is not above PublishInterval ('00:00:01'), so everybody would be taken for gone; "
        + "expected some times as much")]
    public void Load_WhatDoesNotFit_IsAnErrorWithPathAndReason(string configuration, string part, string other, string error) =>
        Errors(configuration.Replace(part, other, StringComparison.Ordinal)).Should().Equal($"LoadBalancer:{error}");

    [TestCase("\"QueueLimit\": 10000")]
    [TestCase("\"Queue\": {}")]
    [TestCase("\"StatusEndpoints\": false, \"Routes\": [], \"AccessLog\": \"Off\", \"Hsts\": null")]
    public void Load_SettingOfAnotherProtocolWithItsDefault_IsNoError(string setting) =>
        Errors(Tcp.Replace("\"IdleTimeout\": \"01:00:00\"", setting, StringComparison.Ordinal)).Should().BeEmpty();

    [Test]
    public void Load_ListenerThatIsNoObject_NamesTheSettingsOfItsProtocol() =>
        Errors("\"Listeners\": { \"web\": 7 }, \"Pools\": {}").Should().Contain(error => error.StartsWith(
            "LoadBalancer:Listeners:web: '7' is not an object; expected { Protocol, Address, Pool, MaxConnections, Certificates, ",
            StringComparison.Ordinal));

    [Test]
    public void Load_PoolOfTwoProtocols_IsAnError() =>
        Errors("""
            "Listeners": {
                "web": { "Address": "http://127.0.0.1:1", "Pool": "a" },
                "raw": { "Protocol": "Tcp", "Address": "tcp://127.0.0.1:2", "Pool": "A" } },
            "Pools": { "a": { "Backends": { "b": { "Address": "http://a:1" } } } }
            """).Should().Equal("LoadBalancer:Pools:a: is used by Http and Tcp listeners; expected a pool for each");

    private string[] Errors(string configuration) => [.. Load(configuration).Errors.Select(error => $"{error with { Line = null }}")];

    private LoadedConfiguration Load(string configuration)
    {
        File.WriteAllText(_file, $$"""{ "LoadBalancer": { {{configuration}} } }""");
        return ConfigurationLoader.Load(_file);
    }
}
