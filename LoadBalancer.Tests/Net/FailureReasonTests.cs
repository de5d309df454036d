using System.Net.Sockets;
using LoadBalancer.Net;

namespace LoadBalancer.Tests.Net;

internal sealed class FailureReasonTests
{
    [TestCase(SocketError.ConnectionRefused, "connection refused", false)]
    [TestCase(SocketError.ConnectionReset, "connection reset", false)]
    [TestCase(SocketError.HostNotFound, "host not found", false)]
    [TestCase(SocketError.TooManyOpenSockets, "too many open files", true)]
    [TestCase(SocketError.AddressNotAvailable, "no free local port", true)]
    public void Of_SocketErrorInside_IsNamedAndPlaced(SocketError error, string words, bool isLocal)
    {
        var exception = new HttpRequestException("outer", new SocketException((int)error));

        FailureReason.Of(exception).Should().Be(words);
        FailureReason.IsLocal(exception).Should().Be(isLocal);
    }

    [Test]
    public void Of_DisposedObject_IsSaidInPlainWords() =>
        FailureReason.Of(new IOException("outer", new ObjectDisposedException("EpollWire"))).Should().Be("connection closed");

    [Test]
    public void Of_AnythingElse_IsItsOneLine() => FailureReason.Of(new InvalidOperationException("one\r\ntwo")).Should().Be("one two");
}
