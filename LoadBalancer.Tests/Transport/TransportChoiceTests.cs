using LoadBalancer.Transport;

namespace LoadBalancer.Tests.Transport;

internal sealed class TransportChoiceTests
{
    [TestCase(null)]
    [TestCase("")]
    [TestCase("Sockets")]
    [TestCase("sockets")]
    public void FindError_ValueThatMeansSomething_IsNone(string? value) => TransportChoice.FindError(value).Should().BeNull();

    [Test]
    public void FindError_AnotherValue_SaysWhatIsExpected() => TransportChoice.FindError("epol").Should().Be(
        "LOADBALANCER_TRANSPORT: 'epol' is not a transport; expected Sockets, or nothing for the default");
}
