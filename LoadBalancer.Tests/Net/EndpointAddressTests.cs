using LoadBalancer.Net;

namespace LoadBalancer.Tests.Net;

internal sealed class EndpointAddressTests
{
    [TestCase("http://127.0.0.1:3000", "http", "127.0.0.1", 3000, "http://127.0.0.1:3000")]
    [TestCase("HTTPS://backend.example:443/", "https", "backend.example", 443, "https://backend.example:443")]
    [TestCase("tcp://[::1]:7000", "tcp", "::1", 7000, "tcp://[::1]:7000")]
    [TestCase("http://*:8080", "http", "*", 8080, "http://*:8080")]
    [TestCase("udp://0.0.0.0:5000", "udp", "0.0.0.0", 5000, "udp://0.0.0.0:5000")]
    [TestCase("http://127.0.0.1", "http", "127.0.0.1", 80, "http://127.0.0.1:80")]
    [TestCase("http://*/", "http", "*", 80, "http://*:80")]
    [TestCase("https://shop.example", "https", "shop.example", 443, "https://shop.example:443")]
    [TestCase("https://[::1]", "https", "::1", 443, "https://[::1]:443")]
    [TestCase("tcp://127.0.0.1", "tcp", "127.0.0.1", EndpointAddress.NoPort, "tcp://127.0.0.1")]
    [TestCase("tcp://[::1]", "tcp", "::1", EndpointAddress.NoPort, "tcp://[::1]")]
    public void TryParse_Valid_GivesItsParts(string text, string scheme, string host, int port, string normalised)
    {
        EndpointAddress.TryParse(text, out var address, out _).Should().BeTrue();

        address.Should().BeEquivalentTo(new { Scheme = scheme, Host = host, Port = port });
        address!.ToString().Should().Be(normalised);
    }

    [Test]
    public void Authority_OfAnotherPort_HasThat() => (new EndpointAddress("tcp", "a", 0) with { Port = 7 }).Authority.Should().Be("a:7");

    [TestCase("htp://x", "'htp://x' is not a valid address; expected http://, https:// or tcp://host:port")]
    [TestCase("", "'' is not a valid address; expected http://, https:// or tcp://host:port")]
    [TestCase("127.0.0.1:3000", "'127.0.0.1:3000' is not a valid address; expected http://, https:// or tcp://host:port")]
    [TestCase("udp://127.0.0.1", "'udp://127.0.0.1' has no port; expected udp://host:port")]
    [TestCase("http://a:", "'http://a:' has port ''; expected a number from 0 to 65535")]
    [TestCase("http://a:70000", "'http://a:70000' has port '70000'; expected a number from 0 to 65535")]
    [TestCase("http://a:80/path", "'http://a:80/path' is not a valid address; expected http://, https:// or tcp://host:port")]
    [TestCase("http://user@a:80", "'http://***@a:80' is not a valid address; expected http://, https:// or tcp://host:port")]
    [TestCase("http://::1:80", "'http://::1:80' is not a valid address; expected http://, https:// or tcp://host:port")]
    [TestCase("http://a b:80", "'http://a b:80' is not a valid address; expected http://, https:// or tcp://host:port")]
    public void TryParse_Invalid_SaysWhatWasExpected(string text, string error)
    {
        EndpointAddress.TryParse(text, out _, out var actual).Should().BeFalse();

        actual.Should().Be(error);
    }

    [TestCase("tcp://127.0.0.1:1", false, true)]
    [TestCase("tcp://127.8.8.8:1", false, true)]
    [TestCase("tcp://[::1]:1", false, true)]
    [TestCase("tcp://localhost:1", false, true)]
    [TestCase("tcp://*:1", true, false)]
    [TestCase("tcp://0.0.0.0:1", true, false)]
    [TestCase("tcp://[::]:1", true, false)]
    [TestCase("tcp://192.0.2.1:1", false, false)]
    [TestCase("tcp://example.com:1", false, false)]
    public void IsAnyAndIsLoopback_Host_AreTrueForItsKind(string text, bool isAny, bool isLoopback)
    {
        EndpointAddress.TryParse(text, out var address, out _).Should().BeTrue();

        (address!.IsAny, address.IsLoopback).Should().Be((isAny, isLoopback));
    }
}
