using LoadBalancer.Configuration;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Configuration.Validation;

internal sealed class HealthCheckValidatorTests
{
    [TestCase("\"Method\": \"HEAD\", \"Path\": \"/up?x\", \"Host\": \"shop.example.com:8443\"")]
    [TestCase("\"Port\": 9000, \"Status\": \"200,301-308\"")]
    [TestCase("\"Headers\": { \"Authorization\": \"Bearer x\" }, \"Body\": \"\\\"status\\\":\\\"ok\\\"\"")]
    [TestCase("\"Host\": \"[::1]:80\"")]
    [TestCase("\"Type\": \"Grpc\", \"Service\": \"shop.Cart\", \"Host\": \"cart\", \"Headers\": { \"x-token\": \"1\" }, \"Port\": 50051")]
    [TestCase("\"Type\": \"Agent\", \"Port\": 9777, \"Send\": \"b1\\n\"")]
    [TestCase("\"Type\": \"Tcp\", \"Path\": \"/health\", \"Port\": 9000")]
    public void Check_Valid_HasNoError(string settings) => Errors(settings).Should().BeEmpty();

    [TestCase("\"Method\": \"GET /\"", "Method: 'GET /' is not a method for a probe; expected for example GET, HEAD or OPTIONS")]
    [TestCase("\"Method\": \"CONNECT\"", "Method: 'CONNECT' is not a method for a probe; expected for example GET, HEAD or OPTIONS")]
    [TestCase("\"Host\": \"http://a\"", "Host: 'http://a' is not a host; expected for example shop.example.com or shop.example.com:8443")]
    [TestCase("\"Host\": \"a/b\"", "Host: 'a/b' is not a host; expected for example shop.example.com or shop.example.com:8443")]
    [TestCase("\"Host\": \"\"", "Host: '' is not a host; expected for example shop.example.com or shop.example.com:8443")]
    [TestCase("\"Port\": 0", "Port: '0' is out of range; expected 1 to 65535")]
    [TestCase("\"Port\": 65536", "Port: '65536' is out of range; expected 1 to 65535")]
    [TestCase("\"Body\": \"\"", "Body: is empty, which is in every body; expected a text, or null")]
    [TestCase("\"Body\": \"x\", \"Method\": \"HEAD\"", "Body: is never there in a response to HEAD; expected another Method")]
    [TestCase("\"Headers\": { \"a b\": \"x\" }", "Headers:a b: is not the name of a header field")]
    [TestCase("\"Headers\": { \"host\": \"x\" }", "Headers:host: has a setting of its own; expected Host")]
    [TestCase("\"Headers\": { \"Connection\": \"x\" }", "Headers:Connection: is set by the probe itself; expected another field")]
    [TestCase("\"Headers\": { \"X\": \"secret\\n\" }",
        "Headers:X: has a value that no header field can have; expected a text without control characters, in ISO 8859-1")]
    [TestCase("\"Type\": \"Grpc\", \"Path\": \"/x\"", "Path: is for probes of type Http; these are of type Grpc")]
    [TestCase("\"Type\": \"Grpc\", \"Body\": \"x\"", "Body: is for probes of type Http; these are of type Grpc")]
    [TestCase("\"Type\": \"Tcp\", \"Status\": \"200\"", "Status: is for probes of type Http; these are of type Tcp")]
    [TestCase("\"Type\": \"Tcp\", \"Host\": \"a\"", "Host: is for probes of type Http and Grpc; these are of type Tcp")]
    [TestCase("\"Service\": \"a\"", "Service: is for probes of type Grpc; these are of type Http")]
    [TestCase("\"Send\": \"a\"", "Send: is for probes of type Agent; these are of type Http")]
    [TestCase("\"Type\": \"Agent\"", "Port: is missing; expected the port of the agents")]
    [TestCase("\"Type\": \"Agent\", \"Port\": 1, \"Method\": \"HEAD\"", "Method: is for probes of type Http; these are of type Agent")]
    public void Check_Invalid_IsAnErrorWithPathAndReason(string settings, string error) =>
        Errors(settings).Should().Equal("LoadBalancer:Pools:web:HealthCheck:" + error);

    [TestCase("2xx")]
    [TestCase("")]
    [TestCase("299-200")]
    [TestCase("200-210-220")]
    [TestCase("101")]
    [TestCase("200,")]
    public void Check_StatusThatIsNoList_IsAnError(string status) => Errors($"\"Status\": \"{status}\"").Should().Equal(
        $"LoadBalancer:Pools:web:HealthCheck:Status: '{status}' is not a list of statuses from 200 to 599; "
        + "expected for example 200-299 or 200,204,301-308");

    [TestCase("\"Port\": 9000")]
    [TestCase("\"Type\": \"Agent\"")]
    public void Check_PortOfAUnixSocket_IsAnError(string settings) =>
        Errors(settings, "\"b2\": { \"Address\": \"unix:/run/app.sock\" }").Should()
            .Equal("LoadBalancer:Pools:web:HealthCheck:Port: is for backends that have a port; 'b2' is at a Unix socket");

    private static IEnumerable<string> Errors(string settings, string otherBackend = "")
    {
        using var directory = new TemporaryDirectory();
        File.WriteAllText(directory.File("file.json"), $$"""
            { "LoadBalancer": {
                "Listeners": { "web": { "Address": "http://127.0.0.1:8080", "Pool": "web" } },
                "Pools": { "web": {
                    "Backends": { "b1": { "Address": "http://127.0.0.1:3000" }, {{otherBackend}} }, "HealthCheck": { {{settings}} } } } } }
            """);
        return [.. ConfigurationLoader.Load(directory.File("file.json")).Errors.Select(error => $"{error with { Line = null }}")];
    }
}
