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

    [TestCase("unix:")]
    [TestCase("unix:/")]
    [TestCase("unix:run/app.sock")]
    [TestCase("unix://run/app.sock")]
    [TestCase("unix:/run/app.sock/")]
    [TestCase("unix:/run/a\0b")]
    [TestCase("unix:@")]
    public void TryParse_NoPathOfASocket_SaysWhatWasExpected(string text)
    {
        EndpointAddress.TryParse(text, out _, out var error).Should().BeFalse();

        error.Should().Be($"'{text}' is not the address of a Unix socket; expected unix: and the absolute path of its file, for example "
            + "unix:/run/app.sock");
    }

    [TestCase("/", 106, true)]
    [TestCase("/", 107, false)]
    [TestCase("/é", 104, true)]
    [TestCase("/é", 105, false)]
    [TestCase("@", 107, true)]
    [TestCase("@", 108, false)]
    [Platform("Linux")]
    public void TryParse_UnixPath_MayBeAsLongAsTheSystemAllows(string begin, int letters, bool isValid)
    {
        EndpointAddress.TryParse($"unix:{begin}{new string('a', letters)}", out var address, out var error).Should().Be(isValid);

        error.Should().Be(isValid ? "" : $"'unix:{begin}{new string('a', letters)}' has a path of "
            + $"{System.Text.Encoding.UTF8.GetByteCount(begin) + letters} bytes; expected 107 at the most, which is a limit of the system");
        address?.UnixEndPoint.ToString().Should().HaveLength(begin.Length + letters);
    }

    [TestCase("unix:/run/app.sock", "unix:/run/app.sock", "/run/app.sock")]
    [TestCase("UNIX:///run/my app.sock", "unix:/run/my app.sock", "/run/my app.sock")]
    public void TryParse_UnixSocket_GivesItsPath(string text, string normalised, string path)
    {
        EndpointAddress.TryParse(text, out var address, out _).Should().BeTrue();

        address.Should().BeEquivalentTo(new { Scheme = "unix", Host = path, Port = EndpointAddress.NoPort, IsUnix = true, IsName = false });
        address!.ToString().Should().Be(normalised);
        (address.Authority, address.HttpUrl, address.IsLoopback, address.IsAny).Should().Be(("localhost", "http://localhost", true, false));
    }

    [TestCase("http://app:1", true)]
    [TestCase("http://localhost:1", true)]
    [TestCase("http://10.0.0.1:1", false)]
    [TestCase("http://[::1]:1", false)]
    [TestCase("http://*:1", false)]
    public void IsName_Host_IsTrueForNamesOnly(string text, bool isName)
    {
        EndpointAddress.TryParse(text, out var address, out _).Should().BeTrue();

        address!.IsName.Should().Be(isName);
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
