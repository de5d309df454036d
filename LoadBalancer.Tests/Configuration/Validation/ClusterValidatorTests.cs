using LoadBalancer.Configuration;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Configuration.Validation;

/// <summary>What is wrong with the settings of a cluster, with its path and reason.</summary>
[Parallelizable(ParallelScope.All)]
internal sealed class ClusterValidatorTests
{
    private const string Etcd = "\"Etcd\": [ \"http://127.0.0.1:2379\" ]";

    [TestCase(Etcd, "Name: is missing; expected a name that all nodes of the cluster have in common")]
    [TestCase($"\"Name\": \"a/b\", {Etcd}",
        "Name: 'a/b' is not valid; expected 1 to 64 letters, digits, '-', '_' and '.', for example edge")]
    [TestCase($"\"Name\": \"edge\", \"Node\": \"\", {Etcd}", "Node: '' is not valid; expected 1 to 64 letters")]
    [TestCase("\"Name\": \"edge\"", "Etcd: is missing; expected addresses of etcd such as http://127.0.0.1:2379")]
    [TestCase("\"Name\": \"edge\", \"Etcd\": [ \"http://127.0.0.1:2379\", \"127.0.0.1:2379\" ]", "Etcd:1: '127.0.0.1:2379' is not valid")]
    [TestCase("\"Name\": \"edge\", \"Etcd\": [ \"http://127.0.0.1:2379/v3\" ]", "Etcd: 'http://127.0.0.1:2379/v3' is not valid")]
    [TestCase("\"Name\": \"edge\", \"Etcd\": [ \"http://lb:s3cr3t@127.0.0.1:2379\" ]",
        "Etcd: 'http://***@127.0.0.1:2379' is not valid; expected for example http://127.0.0.1:2379; a user belongs into Username")]
    [TestCase($"\"Name\": \"edge\", \"Username\": \"lb\", {Etcd}", "PasswordFile: is missing; Username needs a file with the password")]
    [TestCase($"\"Name\": \"edge\", \"PasswordFile\": \"/proc/version\", {Etcd}", "Username: is missing; PasswordFile is for a user")]
    [TestCase($"\"Name\": \"edge\", \"Username\": \"lb\", \"PasswordFile\": \"/nowhere\", {Etcd}",
        "PasswordFile: '/nowhere' cannot be read: there is no such file")]
    [TestCase($"\"Name\": \"edge\", \"Username\": \"lb\", \"PasswordFile\": \"/dev/null\", {Etcd}", "PasswordFile: '/dev/null' is empty")]
    [TestCase($"\"Name\": \"edge\", \"SecretFile\": \"/nowhere\", {Etcd}",
        "SecretFile: '/nowhere' cannot be read: there is no such file; make one with: openssl rand -base64 32, and give it to all nodes")]
    [TestCase($"\"Name\": \"edge\", \"SecretFile\": \"/dev/null\", {Etcd}",
        "SecretFile: '/dev/null' has 0 characters; expected 32 or more: make one with")]
    [TestCase($"\"Name\": \"edge\", \"AuthorityFile\": \"/dev/null\", {Etcd}",
        "AuthorityFile: '/dev/null' cannot be used: there is no PEM")]
    [TestCase($"\"Name\": \"edge\", \"LeaseTime\": \"1s\", {Etcd}",
        "LeaseTime: '00:00:01' is not valid; expected whole seconds from 00:00:02 to 00:01:00")]
    [TestCase($"\"Name\": \"edge\", \"LeaseTime\": \"61s\", {Etcd}", "LeaseTime: '00:01:01' is not valid")]
    [TestCase($"\"Name\": \"edge\", \"LeaseTime\": \"2500ms\", {Etcd}", "LeaseTime: '00:00:02.5000000' is not valid")]
    [TestCase($"\"Name\": \"edge\", \"ShareConfiguration\": \"x\", {Etcd}", "ShareConfiguration: 'x' is not valid; expected true or false")]
    [Platform("Linux")]
    public void Cluster_WithAFault_IsReportedWithItsPath(string cluster, string error) =>
        Load(cluster).Errors.Should().ContainSingle().Which.ToString().Should().StartWith($"LoadBalancer:Cluster:{error}");

    [TestCase($"\"Name\": \"edge\", {Etcd}")]
    [TestCase("\"Name\": \"Edge_1.a-b\", \"Node\": \"a\", \"LeaseTime\": \"60s\", \"ShareConfiguration\": true, "
        + "\"Etcd\": [ \"https://etcd-1:2379/\", \"http://[::1]:2379\" ]")]
    public void Cluster_WithoutAFault_IsAccepted(string cluster) => Load(cluster).Errors.Should().BeEmpty();

    [Test]
    public void Cluster_ListenerHasAcme_NeedsASecretBesideTheConfiguration()
    {
        using var directory = new TemporaryDirectory();
        LoadedConfiguration LoadAcme(string secret)
        {
            File.WriteAllText(directory.File("lb.json"), $$"""
                { "LoadBalancer": {
                    "Cluster": { "Name": "edge", {{Etcd}} {{secret}} },
                    "Listeners": {
                      "plain": { "Address": "http://127.0.0.1:80", "Pool": "web" },
                      "web": { "Address": "https://127.0.0.1:0", "Pool": "web", "Acme": { "Names": [ "shop.test" ], "AcceptTerms": true,
                        "Store": "{{directory.File("acme")}}" } } },
                    "Pools": { "web": { "Backends": { "b": { "Address": "http://127.0.0.1:1" } } } } } }
                """);
            return ConfigurationLoader.Load(directory.File("lb.json"));
        }

        string? ErrorOf(string secret) => LoadAcme(secret).Errors.SingleOrDefault()?.ToString();

        ErrorOf("").Should().StartWith("LoadBalancer:Cluster:SecretFile: is missing; listener 'web' has Acme, and the nodes share its "
            + "certificates encrypted: make one with: openssl rand");
        File.WriteAllText(directory.File("cluster.secret"), new string('x', 31) + "\n");
        ErrorOf(", \"SecretFile\": \"cluster.secret\"").Should().Contain("has 31 characters");
        File.WriteAllText(directory.File("cluster.secret"), new string('x', 32) + "\n");
        ErrorOf(", \"SecretFile\": \"cluster.secret\"").Should().BeNull();
    }

    private static LoadedConfiguration Load(string cluster)
    {
        using var directory = new TemporaryDirectory();
        File.WriteAllText(directory.File("lb.json"), $$"""
            { "LoadBalancer": {
                "Cluster": { {{cluster}} },
                "Listeners": { "web": { "Address": "http://127.0.0.1:0", "Pool": "web" } },
                "Pools": { "web": { "Backends": { "b": { "Address": "http://127.0.0.1:1" } } } } } }
            """);
        return ConfigurationLoader.Load(directory.File("lb.json"));
    }
}
