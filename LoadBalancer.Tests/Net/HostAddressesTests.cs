using System.Net;
using System.Net.Sockets;
using LoadBalancer.Net;

namespace LoadBalancer.Tests.Net;

internal sealed class HostAddressesTests
{
    private readonly IPAddress _one = IPAddress.Parse("10.0.0.1");
    private readonly IPAddress _two = IPAddress.Parse("10.0.0.2");
    private readonly IPAddress _three = IPAddress.Parse("10.0.0.3");
    private readonly IPAddress _six = IPAddress.Parse("fd00::6");

    [Test]
    public async Task Get_BeforeTheFirstAnswer_WaitsForIt()
    {
        var hosts = new HostAddresses("app");
        var (first, second) = (hosts.GetAsync(default).AsTask(), hosts.GetAsync(default).AsTask());
        first.IsCompleted.Should().BeFalse();
        hosts.Current.Should().BeNull();
        hosts.Holds(_one).Should().BeTrue("nothing says that it has left");

        hosts.Set([_one]);

        (await first).Should().Equal(_one);
        (await second).Should().Equal(_one);
    }

    [Test]
    public async Task Get_FirstLookupFails_FailsUntilThereIsAnAnswer()
    {
        var hosts = new HostAddresses("app");
        var waiting = hosts.GetAsync(default).AsTask();

        hosts.Fail(SocketError.HostNotFound);

        await FluentActions.Awaiting(() => waiting).Should().ThrowAsync<SocketException>();
        hosts.Fail(SocketError.TryAgain);
        (await FluentActions.Awaiting(() => hosts.GetAsync(default).AsTask()).Should().ThrowAsync<SocketException>())
            .Which.SocketErrorCode.Should().Be(SocketError.TryAgain);
        hosts.Set([_two]);
        (await hosts.GetAsync(default)).Should().Equal(_two);
    }

    [Test]
    public async Task Fail_ThereIsAnAnswer_KeepsIt()
    {
        var hosts = new HostAddresses("app");
        hosts.Set([_one]);

        hosts.Fail(SocketError.TimedOut);

        (await hosts.GetAsync(default)).Should().Equal(_one);
        hosts.Holds(_one).Should().BeTrue();
    }

    [Test]
    public async Task Get_Cancelled_EndsTheWait()
    {
        using var end = new CancellationTokenSource();
        var waiting = new HostAddresses("app").GetAsync(end.Token).AsTask();

        await end.CancelAsync();

        await FluentActions.Awaiting(() => waiting).Should().ThrowAsync<OperationCanceledException>();
    }

    [Test]
    public void Set_OtherAddresses_HoldsTheseOnly()
    {
        var hosts = new HostAddresses("app");
        hosts.Set([_one, _two]);

        hosts.Set([_two, _three]);

        hosts.Holds(_one).Should().BeFalse();
        hosts.Holds(_two).Should().BeTrue();
        hosts.Holds(_three.MapToIPv6()).Should().BeTrue("it is the same address");
    }

    [Test]
    public void Set_SameAddresses_KeepsTheObject()
    {
        var hosts = new HostAddresses("app");
        hosts.Set([_one, _two]);
        var before = hosts.Current;

        hosts.Set([_one, _two, _one]);

        hosts.Current.Should().BeSameAs(before);
    }

    [Test]
    public void Set_BothFamilies_Alternate()
    {
        var hosts = new HostAddresses("app");

        hosts.Set([_one, _two, _three, _six]);

        hosts.Current.Should().Equal(_one, _six, _two, _three);
    }

    [Test]
    public void Set_NoAddress_IsRefused() =>
        new HostAddresses("app").Invoking(hosts => hosts.Set([])).Should().Throw<ArgumentException>();
}
