using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Cluster;

/// <summary>When a lease is safe. The server is scripted, and the clock is the test's.</summary>
[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class LeaseTests : IAsyncDisposable
{
    private static readonly TimeSpan Length = TimeSpan.FromSeconds(10);

    private readonly FakeClock _clock = new();
    private readonly LogRecorder _log = new();
    private EtcdStub _etcd = null!;
    private EtcdConnection _connection = null!;
    private Lease _lease = null!;
    private int _changes;

    [SetUp]
    public async Task StartAsync()
    {
        _etcd = await EtcdStub.StartAsync(_clock);
        _connection = new EtcdConnection(new ClusterOptions { Name = "edge", Etcd = [_etcd.Address], LeaseTime = Length }, _clock);
        _lease = new Lease(new EtcdClient(_connection), Length, _clock, new ClusterLog("edge", _log));
        _lease.Changed += () => Interlocked.Increment(ref _changes);
    }

    public async ValueTask DisposeAsync()
    {
        _lease.Dispose();
        _connection.Dispose();
        await _etcd.DisposeAsync();
        _log.Dispose();
    }

    [Test]
    public async Task Renew_Granted_IsSafeForFourFifths()
    {
        await _lease.RenewAsync(default);

        _lease.SafeFor.Should().Be(TimeSpan.FromSeconds(8));
        _clock.Advance(TimeSpan.FromSeconds(8));
        _lease.IsSafe.Should().BeFalse();
    }

    [Test]
    public async Task Renew_NoAnswerForFourFifths_TellsAtThatMomentAndKeepsTheNumber()
    {
        await _lease.RenewAsync(default);
        var id = _lease.Id;
        var before = _changes;

        _clock.Advance(TimeSpan.FromSeconds(8) - TimeSpan.FromMilliseconds(1));
        var early = _changes;
        _clock.Advance(TimeSpan.FromMilliseconds(2));

        (early, _changes).Should().Be((before, before + 1));
        (_lease.Id, _lease.IsSafe).Should().Be((id, false));
    }

    [Test]
    public async Task Renew_ContactIsBackInTime_GoesOnWithTheSameNumber()
    {
        await _lease.RenewAsync(default);
        var id = _lease.Id;
        _clock.Advance(TimeSpan.FromSeconds(9));

        await _lease.RenewAsync(default);

        (_lease.Id, _lease.IsSafe).Should().Be((id, true));
    }

    [Test]
    public async Task Renew_LeaseHasEnded_TakesAnotherOne()
    {
        await _lease.RenewAsync(default);
        var id = _lease.Id;
        _clock.Advance(TimeSpan.FromSeconds(11));

        await _lease.RenewAsync(default);

        _lease.Id.Should().NotBe(id).And.NotBe(0);
        _lease.IsOwn(id).Should().BeTrue();
        _lease.IsSafe.Should().BeTrue();
    }

    [Test]
    public async Task Renew_AnswerComesLate_IsCountedFromTheRequest()
    {
        await _lease.RenewAsync(default);
        _etcd.Fault = _ =>
        {
            _clock.Advance(TimeSpan.FromSeconds(3)); // The call may take 3.3 s.
            return EtcdFault.None;
        };

        await _lease.RenewAsync(default);

        _lease.SafeFor.Should().Be(TimeSpan.FromSeconds(5));
    }

    [Test]
    public async Task Renew_AnswerComesAfterTheLease_IsNotSafe()
    {
        _etcd.Fault = path =>
        {
            _clock.Advance(path == "/v3/lease/grant" ? TimeSpan.FromSeconds(3) : TimeSpan.Zero);
            return EtcdFault.None;
        };
        await _lease.RenewAsync(default);
        _clock.Advance(TimeSpan.FromSeconds(20)); // The machine was suspended.

        _lease.IsSafe.Should().BeFalse();
    }

    [Test]
    public async Task Renew_EtcdIsSilent_GivesUpAfterAThirdOfTheLease()
    {
        _etcd.Fault = _ => EtcdFault.Silent;
        var renewing = _lease.RenewAsync(default);

        await Eventually.BeDoneAsync(renewing, _clock, TimeSpan.FromMilliseconds(50), "the call has ended");

        _lease.Error.Should().EndWith("has not answered within 3.3 s");
        _lease.Id.Should().Be(0);
    }

    [Test]
    public async Task Run_OneCallHangs_AnotherOneComesInTime()
    {
        using var stop = new CancellationTokenSource();
        var keepAlives = 0;
        _etcd.Fault = path => path == "/v3/lease/keepalive" && ++keepAlives == 1 ? EtcdFault.Silent : EtcdFault.None;
        var running = _lease.RunAsync(stop.Token);
        await Eventually.BeTrueAsync(() => _lease.IsSafe && _clock.TimersWithin(Length / 3) == 1, "it waits for the next call");

        _clock.Advance(Length / 3);
        await Eventually.BeTrueAsync(() => keepAlives == 1 && _clock.TimersWithin(Length / 3) == 1, "the call hangs");
        _clock.Advance(Length / 3);
        await Eventually.BeTrueAsync(() => _clock.TimersWithin(TimeSpan.FromMilliseconds(250)) == 1, "it tries again soon");
        _clock.Advance(TimeSpan.FromMilliseconds(250));
        await Eventually.BeTrueAsync(() => _lease.SafeFor > Length * 0.7, "it is kept alive");

        _changes.Should().Be(1, "it was safe all the time");
        await stop.CancelAsync();
        await running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    [Test]
    public async Task Renew_RevokedWhileTheAnswerIsOnItsWay_IsNotSafeAgain()
    {
        await _lease.RenewAsync(default);
        var before = _lease.Id;
        var revoking = Task.CompletedTask;
        _etcd.Fault = path =>
        {
            if (path == "/v3/lease/keepalive")
            {
                revoking = _lease.RevokeAsync(); // Etcd does that after this call.
            }
            return EtcdFault.None;
        };

        await _lease.RenewAsync(default);
        await revoking;

        _lease.Id.Should().NotBe(before);
    }

    [Test]
    public async Task Renew_PinnedAndEnded_TakesNoOther()
    {
        await _lease.RenewAsync(default);
        _lease.Pin();
        _etcd.EndLease(_lease.Id);

        await _lease.RenewAsync(default);
        await _lease.RenewAsync(default);

        _lease.Id.Should().Be(0);
        _etcd.Calls.Should().ContainSingle(path => path == "/v3/lease/grant");
    }

    [Test]
    public async Task Revoke_EtcdHas_EndsItAndIsNotSafeAnyMore()
    {
        await _lease.RenewAsync(default);
        _etcd.Put("/a", "1", _lease.Id);

        await _lease.RevokeAsync();

        (_lease.Id, _lease.IsSafe, _etcd.Find("/a")).Should().Be((0, false, null));
    }

    [Test]
    public async Task Revoke_EtcdIsSilent_TakesTwoSeconds()
    {
        await _lease.RenewAsync(default);
        _etcd.Fault = _ => EtcdFault.Silent;
        var revoking = _lease.RevokeAsync();

        await Eventually.BeTrueAsync(() => _etcd.Calls.Contains("/v3/lease/revoke"), "it is asked");
        _clock.Advance(TimeSpan.FromSeconds(2));
        await revoking;

        _log.Lines.Should().ContainSingle(line => line.Contains("cannot be given back, and stay for up to 10 s", StringComparison.Ordinal));
    }

    [Test]
    public async Task Run_EachThirdOfTheLease_KeepsItAlive()
    {
        using var stop = new CancellationTokenSource();
        var running = _lease.RunAsync(stop.Token);
        await Eventually.BeTrueAsync(() => _lease.Id != 0, "it is there");
        var id = _lease.Id;

        for (var i = 0; i < 10; i++)
        {
            var calls = _etcd.Calls.Count;
            await Eventually.BeTrueAsync(() => _clock.TimersWithin(Length / 3) == 1, "it waits for nothing else");
            _clock.Advance(Length / 3);
            await Eventually.BeTrueAsync(() => _etcd.Calls.Count > calls && _lease.SafeFor > Length * 0.79, "it is kept alive");
        }

        _lease.Id.Should().Be(id);
        await stop.CancelAsync();
        await running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    [Test]
    public async Task Renew_TokenIsTooOld_AuthenticatesAgain()
    {
        using var folder = new TemporaryDirectory();
        var file = folder.File("password");
        await File.WriteAllTextAsync(file, "right\n");
        using var connection = new EtcdConnection(
            new ClusterOptions { Name = "edge", Etcd = [_etcd.Address], Username = "lb", PasswordFile = file }, _clock);
        var etcd = new EtcdClient(connection);
        var (id, _) = await etcd.GrantAsync(Length, default);
        _etcd.Fault = _ => _etcd.Tokens[^1] == "token1" ? EtcdFault.Unauthenticated : EtcdFault.None;

        var left = await etcd.KeepAliveAsync(id, default);

        left.Should().Be(Length);
        _etcd.Calls.Should().Equal(
            "/v3/auth/authenticate", "/v3/lease/grant", "/v3/lease/keepalive", "/v3/auth/authenticate", "/v3/lease/keepalive");
        _etcd.Tokens.Should().Equal("", "token1", "token1", "", "token4");
    }

    [Test]
    public async Task Renew_WrongPassword_SaysSoWithoutIt()
    {
        using var folder = new TemporaryDirectory();
        var file = folder.File("password");
        await File.WriteAllTextAsync(file, "s3cr3t");
        using var connection = new EtcdConnection(
            new ClusterOptions { Name = "edge", Etcd = [_etcd.Address], Username = "lb", PasswordFile = file }, _clock);

        var call = () => new EtcdClient(connection).GrantAsync(Length, default);

        (await call.Should().ThrowAsync<EtcdException>()).Which.Message.Should()
            .EndWith("says etcdserver: authentication failed, invalid user ID or password").And.NotContain("s3cr3t");
    }
}
