using System.Net;
using System.Net.Sockets;
using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Transport;

/// <summary>Connecting to a name that has several addresses.</summary>
internal sealed class ConnectorTests
{
    private readonly FakeTimeProvider _clock = new();
    private readonly Dictionary<EndPoint, TaskCompletionSource<Connection>> _attempts = [];
    private readonly List<CancellationToken> _tokens = [];

    [SetUp]
    public void Forget()
    {
        _attempts.Clear();
        _tokens.Clear();
    }

    [Test]
    public async Task First_AddressIsSilent_TheNextIsTriedMeanwhile()
    {
        var connecting = FirstAsync(2);
        _attempts.Should().HaveCount(1);

        await Eventually.BeTrueAsync(
            () =>
            {
                _clock.Advance(TimeSpan.FromMilliseconds(50));
                return _attempts.Count == 2;
            },
            "the second address is tried");
        using var late = new Connection();
        await using var cancelled = _tokens[0].Register(() => Attempt(0).SetResult(late)); // It connects in the last moment.
        using var second = new Connection();
        Attempt(1).SetResult(second);

        (await connecting).Should().BeSameAs(second);
        late.IsDisposed.Should().BeTrue("it is not wanted any longer");
        second.IsDisposed.Should().BeFalse();
    }

    [Test]
    public async Task First_AddressRefuses_TheNextIsTriedAtOnce()
    {
        var connecting = FirstAsync(2);
        Attempt(0).SetException(new SocketException((int)SocketError.ConnectionRefused));
        await Eventually.BeTrueAsync(() => _attempts.Count == 2, "the second address is tried");
        using var second = new Connection();
        Attempt(1).SetResult(second);

        (await connecting).Should().BeSameAs(second);
    }

    [Test]
    public async Task First_AllRefuse_FailsAsTheLast()
    {
        var connecting = FirstAsync(2);
        Attempt(0).SetException(new SocketException((int)SocketError.ConnectionRefused));
        await Eventually.BeTrueAsync(() => _attempts.Count == 2, "the second address is tried");
        Attempt(1).SetException(new SocketException((int)SocketError.HostUnreachable));

        (await FluentActions.Awaiting(() => connecting).Should().ThrowAsync<SocketException>())
            .Which.SocketErrorCode.Should().Be(SocketError.HostUnreachable);
    }

    [Test]
    public async Task First_Cancelled_EndsAllAttempts()
    {
        using var end = new CancellationTokenSource();
        var connecting = FirstAsync(3, end.Token);

        await end.CancelAsync();
        Attempt(0).SetCanceled(end.Token);

        await FluentActions.Awaiting(() => connecting).Should().ThrowAsync<OperationCanceledException>();
        _attempts.Should().HaveCount(1);
    }

    private Task<Connection> FirstAsync(int addresses, CancellationToken cancellationToken = default) => Connector.FirstAsync(
        [.. Enumerable.Range(0, addresses).Select(AddressOf)],
        (address, token) =>
        {
            _tokens.Add(token);
            return (_attempts[address] = new()).Task;
        },
        _clock,
        cancellationToken);

    private TaskCompletionSource<Connection> Attempt(int index) => _attempts[AddressOf(index)];

    private static IPEndPoint AddressOf(int index) => new(IPAddress.Loopback, index + 1);

    private sealed class Connection : IDisposable
    {
        public bool IsDisposed { get; private set; }

        public void Dispose() => IsDisposed = true;
    }
}
