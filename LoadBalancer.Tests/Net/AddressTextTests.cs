using LoadBalancer.Net;

namespace LoadBalancer.Tests.Net;

internal sealed class AddressTextTests
{
    [TestCase("http://user:secret@host:80", "http://***@host:80")]
    [TestCase("'http://secret@host' is bad; expected http:// or tcp://host", "'http://***@host' is bad; expected http:// or tcp://host")]
    [TestCase("http://user:sec@re/t 'x'?#@host:80/", "http://***@host:80/")]
    [TestCase("http://a:secret@b,amqp://c:secret@d, and e@f", "http://***@b,amqp://***@f")] // rather too much than too little
    [TestCase("http://@host", "http://***@host")]
    [TestCase("http://host:80/path", "http://host:80/path")]
    [TestCase("mail@host", "mail@host")]
    [TestCase("://", "://")]
    [TestCase("://@", "://***@")]
    [TestCase("", "")]
    public void WithoutCredentials_Any_HidesThem(string text, string expected) =>
        AddressText.WithoutCredentials(text).Should().Be(expected);

    [TestCase("/health?key=secret", "/health?***")]
    [TestCase("https://host/a?b=secret?c#d", "https://host/a?***")]
    [TestCase("/health", "/health")]
    [TestCase("", "")]
    public void WithoutQuery_Any_HidesIt(string text, string expected) => AddressText.WithoutQuery(text).Should().Be(expected);
}
