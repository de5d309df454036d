using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Cluster;

/// <summary>The client against a real etcd.</summary>
[Parallelizable]
internal sealed class EtcdClientTests
{
    private EtcdServer _server = null!;
    private EtcdConnection _connection = null!;
    private EtcdClient _etcd = null!;

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        _server = await EtcdServer.StartAsync();
        // The first of the endpoints is never there.
        var options = new ClusterOptions
        {
            Name = "edge",
            Etcd = [$"http://127.0.0.1:{ReservedPorts.Next()}", _server.Address],
            LeaseTime = TimeSpan.FromSeconds(30),
        };
        _connection = new EtcdConnection(options, TimeProvider.System);
        _etcd = new EtcdClient(_connection);
    }

    [OneTimeTearDown]
    public async Task StopAsync()
    {
        _connection?.Dispose();
        await (_server?.DisposeAsync() ?? ValueTask.CompletedTask);
    }

    [Test]
    public async Task Transact_KeyIsAbsentThenPresent_IsMadeOnceAndRead()
    {
        var first = await _etcd.TransactAsync([EtcdCondition.IsAbsent("/t/a")], [EtcdChange.Put("/t/a", "ä1")], "/t/a", default);
        var second = await _etcd.TransactAsync([EtcdCondition.IsAbsent("/t/a")], [EtcdChange.Put("/t/a", "2")], "/t/a", default);

        first.Succeeded.Should().BeTrue();
        second.Succeeded.Should().BeFalse();
        second.Key.Should().Be(new EtcdKey("/t/a", "ä1", first.Header.Revision, first.Header.Revision, 0));
    }

    [Test]
    public async Task Transact_KeyWasChangedMeanwhile_ChangesNothing()
    {
        var made = await _etcd.TransactAsync([], [EtcdChange.Put("/c/a", "1")], null, default);
        await _etcd.TransactAsync([], [EtcdChange.Put("/c/a", "2")], null, default);

        var late = await _etcd.TransactAsync(
            [EtcdCondition.IsChangedAt("/c/a", made.Header.Revision)], [EtcdChange.Delete("/c/a")], null, default);

        late.Succeeded.Should().BeFalse();
        (await _etcd.GetAsync("/c/a", default)).Keys.Single().Value.Should().Be("2");
    }

    [Test]
    public async Task List_SomeKeys_HasThoseOfThePrefix()
    {
        await _etcd.TransactAsync(
            [], [EtcdChange.Put("/l/a", "1"), EtcdChange.Put("/l/b", "2"), EtcdChange.Put("/l0", "3")], null, default);

        var range = await _etcd.ListAsync("/l/", default);
        var count = await _etcd.CountAsync("/l/", default);

        range.Keys.Select(key => key.Key).Should().Equal("/l/a", "/l/b");
        (count.Count, count.Newest).Should().Be((2, range.Keys[0].Changed));
    }

    [Test]
    public async Task Revoke_LeaseWithAKey_TakesTheKeyAway()
    {
        var (lease, length) = await _etcd.GrantAsync(TimeSpan.FromSeconds(30), default);
        await _etcd.TransactAsync([], [EtcdChange.Put("/r/a", "1", lease)], null, default);
        var alive = await _etcd.KeepAliveAsync(lease, default);

        await _etcd.RevokeAsync(lease, default);

        (length, alive).Should().Be((TimeSpan.FromSeconds(30), TimeSpan.FromSeconds(30)));
        (await _etcd.KeepAliveAsync(lease, default)).Should().BeNull();
        (await _etcd.GetAsync("/r/a", default)).Keys.Should().BeEmpty();
        var late = () => _etcd.TransactAsync([], [EtcdChange.Put("/r/a", "2", lease)], null, default);
        (await late.Should().ThrowAsync<EtcdException>()).Which.Message.Should().EndWith("says etcdserver: requested lease not found");
    }

    [Test]
    public async Task Watch_KeysChange_TellsOfEach()
    {
        var start = await _etcd.TransactAsync([], [EtcdChange.Put("/w/a", "1")], null, default);
        await _etcd.TransactAsync([], [EtcdChange.Delete("/w/a")], null, default);
        using var stop = new CancellationTokenSource();
        var seen = new List<(string Key, string Value, bool IsDeleted)>();

        await foreach (var line in _etcd.WatchAsync("/w/", start.Header.Revision, stop.Token))
        {
            seen.AddRange(line.Events.Select(change => (change.Key.Key, change.Key.Value, change.IsDeleted)));
            if (seen.Count == 2)
            {
                await _etcd.TransactAsync([], [EtcdChange.Put("/w/b", "2")], null, default);
            }
            if (seen.Count == 3)
            {
                break;
            }
        }

        seen.Should().Equal(("/w/a", "1", false), ("/w/a", "", true), ("/w/b", "2", false));
    }

    [Test]
    public async Task Watch_ChangesAreCompacted_SaysSo()
    {
        var first = await _etcd.TransactAsync([], [EtcdChange.Put("/k/a", "1")], null, default);
        var last = await _etcd.TransactAsync([], [EtcdChange.Put("/k/a", "2")], null, default);
        await _server.PostAsync("/v3/kv/compaction", new { revision = last.Header.Revision });

        var ends = new List<string?>();
        await foreach (var line in _etcd.WatchAsync("/k/", first.Header.Revision, default))
        {
            ends.Add(line.End);
            if (line.End is not null)
            {
                break;
            }
        }

        ends.Should().EndWith($"its changes before revision {last.Header.Revision} are gone");
    }

    [Test]
    public async Task Call_EtcdIsGone_SaysWhere()
    {
        var port = ReservedPorts.Next();
        using var connection = new EtcdConnection(
            new ClusterOptions { Name = "edge", Etcd = [$"http://127.0.0.1:{port}"] }, TimeProvider.System);

        var call = () => new EtcdClient(connection).GetAsync("/a", default);

        var error = (await call.Should().ThrowAsync<EtcdException>()).Which;
        error.Message.Should().Be($"etcd at 127.0.0.1:{port} cannot be reached: Connection refused");
        error.MayHaveHappened.Should().BeFalse();
    }

    [Test]
    public async Task Call_AnotherServer_SaysThatItIsNotEtcd()
    {
        await using var other = RawServer.Answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]");
        using var connection = new EtcdConnection(new ClusterOptions { Name = "edge", Etcd = [other.Address] }, TimeProvider.System);

        var call = () => new EtcdClient(connection).GetAsync("/a", default);

        (await call.Should().ThrowAsync<EtcdException>()).Which.Message.Should().Contain("is not etcd 3.4 or later");
    }
}
