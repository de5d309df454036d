using LoadBalancer.Acme;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Acme;

/// <summary>Nodes of a cluster get certificates together, whatever etcd and the nodes do.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class AcmeSharingTests : IDisposable
{
    private const string Name = "shop.test";

    private readonly TemporaryDirectory _files = new();
    private readonly List<AcmeClusterNode> _nodes = [];
    private AcmeDirectory _authority = null!;
    private EtcdStub _etcd = null!;

    private string Folder => $"/lb/edge/acme/store/{Path.GetFileName(OptionsOf("a").Folder)}";

    private string Turn => $"/lb/edge/acme/turns/{Path.GetFileName(OptionsOf("a").Folder)}/{Name}";

    [SetUp]
    public async Task StartAsync()
    {
        (_authority, _etcd) = (await AcmeDirectory.StartAsync(), await EtcdStub.StartAsync(TimeProvider.System));
        _authority.NotBefore = () => new FakeClock().GetUtcNow().AddDays(-1) + TimeSpan.FromMinutes(_authority.Orders);
        await File.WriteAllTextAsync(_files.File("right"), new string('r', 32) + "\n");
        await File.WriteAllTextAsync(_files.File("wrong"), new string('w', 32));
    }

    [TearDown]
    public async Task StopAsync()
    {
        foreach (var node in _nodes)
        {
            await node.DisposeAsync();
        }
        await _authority.DisposeAsync();
        await _etcd.DisposeAsync();
        _authority.Faults.Should().BeEmpty();
    }

    public void Dispose() => _files.Dispose();

    [Test]
    public async Task Order_ManyNodesAtOnce_OneOrdersAndAllHaveIt()
    {
        AcmeClusterNode[] nodes = [await StartAsync("a"), await StartAsync("b"), await StartAsync("c")];

        await AcmeClusterNode.UntilAsync(() => nodes.All(node => node.Certificate is not null), "all have it", nodes);
        await Eventually.BeTrueAsync(() => _etcd.Find(Turn) is null, "the turn has ended");

        _authority.Orders.Should().Be(1);
        nodes.Select(node => node.Certificate).Distinct().Should().ContainSingle().Which.Should().Contain("PRIVATE KEY");
        await Eventually.BeTrueAsync(() => nodes.All(node => node.Last is { Failures: 0 } last && last != Attempt.None), "all know when");
        foreach (var file in new[] { "account.key", $"{Name}.pem", $"{Name}.json" })
        {
            _etcd.Find($"{Folder}/{file}")!.Value.Value.Should().StartWith("1.").And.NotContain("KEY").And.NotContain("failures");
        }
        nodes.SelectMany(node => node.Warnings).Should().BeEmpty();
    }

    [Test]
    public async Task Order_IsInWork_IsAnsweredByAllNodesWithTheSecretAndByNoneAfterwards()
    {
        _authority.Authorization = () => "pending";
        var a = await StartAsync("a");
        await AcmeClusterNode.UntilAsync(() => _authority.Requests.Contains("challenge"), "the authority may ask", a);
        var token = KeysOf("challenges").Should().ContainSingle().Subject["/lb/edge/acme/challenges/".Length..];

        var (b, wrong) = (await StartAsync("b"), await StartAsync("c", "wrong"));
        await Eventually.BeTrueAsync(() => b.Answers(token), "another node answers");
        (a.Answers(token), b.Answers(token + "x")).Should().Be((true, false));
        await wrong.Log.SaysAsync("Error: cluster 'edge': the secret in", "wrong");
        wrong.Answers(token).Should().BeFalse();

        _authority.Authorization = () => "valid";
        await AcmeClusterNode.UntilAsync(() => b.Certificate is not null, "it is issued", a);
        await Eventually.BeTrueAsync(() => !a.Answers(token) && !b.Answers(token), "nobody answers any more");
        KeysOf("challenges").Should().BeEmpty();
    }

    [Test]
    public async Task Order_NodeDiesInTheMiddle_AnotherOneGoesOnAfterItsLease()
    {
        _authority.Authorization = () => "pending";
        var a = await StartAsync("a");
        await AcmeClusterNode.UntilAsync(() => _authority.Requests.Contains("challenge"), "the order is in work", a);
        var b = await StartAsync("b");
        await Eventually.BeTrueAsync(() => b.Last.Failures == 1, "the other node knows of the attempt");
        _authority.Authorization = () => "valid";
        await AcmeClusterNode.UntilAsync(() => _etcd.IsCalled("/v3/lease/revoke"), "the other node has tried to take the turn", b);
        _authority.Orders.Should().Be(1);

        _etcd.EndLease(_etcd.Find(Turn)!.Value.Lease);
        await AcmeClusterNode.UntilAsync(() => b.Certificate is not null, "the other node has ordered", b);

        _authority.Orders.Should().Be(2);
        await Eventually.BeTrueAsync(() => a.Certificate == b.Certificate, "the first one has it too");
        b.Warnings.Should().BeEmpty();
    }

    [Test]
    public async Task Order_NodeStopsInTheMiddle_GivesTheTurnBackAndCountsNoFailure()
    {
        _authority.Authorization = () => "pending";
        var (a, b) = (await StartAsync("a"), await StartAsync("b"));
        await AcmeClusterNode.UntilAsync(() => _authority.Requests.Contains("challenge"), "the order is in work", a);

        await a.DisposeAsync();

        KeysOf("turns").Should().BeEmpty();
        await Eventually.BeTrueAsync(() => b.Last is { Failures: 0 } last && last != Attempt.None, "it is no failure");
        _authority.Authorization = () => "valid";
        await AcmeClusterNode.UntilAsync(() => b.Certificate is not null, "another one orders", b);
    }

    [Test]
    public async Task Order_EtcdIsAway_BeginsWhenItIsBack()
    {
        _etcd.Fault = _ => EtcdFault.Refused;
        var a = await StartAsync("a");
        await a.Log.SaysAsync($"Warning: certificate of '{Name}': it is to be ordered, and is not now: etcd is away");
        a.Clock.Advance(TimeSpan.FromHours(2));
        _authority.Requests.Should().BeEmpty();

        _etcd.Fault = _ => EtcdFault.None;
        await AcmeClusterNode.UntilAsync(() => a.Certificate is not null, "it is ordered", a);

        a.Warnings.Should().ContainSingle();
    }

    [Test]
    public async Task Order_EtcdGoesInTheMiddle_EndsWellAndIsSharedWhenItIsBack()
    {
        _authority.Authorization = () => "pending";
        var (a, b) = (await StartAsync("a"), await StartAsync("b"));
        await AcmeClusterNode.UntilAsync(() => _authority.Requests.Contains("challenge"), "the order is in work", a);
        _etcd.Fault = _ => EtcdFault.Refused;
        _authority.Authorization = () => "valid";

        await AcmeClusterNode.UntilAsync(() => a.Certificate is not null, "it has the certificate", a);
        b.Certificate.Should().BeNull();
        _etcd.Fault = _ => EtcdFault.None;

        await Eventually.BeTrueAsync(() => b.Certificate == a.Certificate, "the other one has it too");
        _authority.Orders.Should().Be(1);
    }

    [Test]
    public async Task Start_EtcdIsAway_KeepsWhatIsInTheStore()
    {
        var a = await StartAsync("a");
        await AcmeClusterNode.UntilAsync(() => a.Certificate is not null && a.Last.Failures == 0, "it has one", a);
        await a.DisposeAsync();
        var certificate = a.Certificate;
        _etcd.Fault = _ => EtcdFault.Refused;

        var again = await StartAsync("a");
        await Eventually.BeTrueAsync(() => again.Clock.UntilNextTimer is not null, "it waits for the renewal");
        (again.Certificate, _authority.Orders).Should().Be((certificate, 1));
        again.Warnings.Should().BeEmpty();
    }

    [Test]
    public async Task Order_AuthorityWishesAWait_HoldsForAllNodesAndForThoseThatComeLater()
    {
        _authority.Refuse = path => path == "new-order" ? new("rateLimited", 429, "7200") : null;
        var (a, b) = (await StartAsync("a"), await StartAsync("b"));
        await AcmeClusterNode.UntilAsync(() => a.Last.Failures == 1 && b.Last.Wait == TimeSpan.FromHours(2), "the other one knows", a);
        _authority.Refuse = _ => null;
        await a.DisposeAsync();

        var c = await StartAsync("c");
        await Eventually.BeTrueAsync(() => c.Last == b.Last, "one that comes later knows");
        foreach (var node in new[] { b, c })
        {
            node.Clock.Advance(TimeSpan.FromMinutes(119));
        }
        await Eventually.BeTrueAsync(() => c.Clock.UntilNextTimer is not null, "it waits");
        _authority.Orders.Should().Be(1);

        await AcmeClusterNode.UntilAsync(() => b.Certificate is not null && c.Certificate is not null, "the wait is over", b, c);
        _authority.Orders.Should().Be(2);
    }

    [Test]
    public async Task Order_AnswerOfTheTurnIsLost_IsMadeLater()
    {
        var a = await StartAsync("a");
        var transactions = 0;
        _etcd.Fault = path => path == "/v3/kv/txn" && ++transactions == 2 ? EtcdFault.AnswerIsLost : EtcdFault.None; // after the secret

        await AcmeClusterNode.UntilAsync(() => a.Certificate is not null, "it is ordered all the same", a);

        _authority.Orders.Should().Be(1);
        await Eventually.BeTrueAsync(() => KeysOf("turns").Count == 0, "no turn is left behind");
    }

    [Test]
    public async Task Start_SecretIsAnotherOne_SaysSoAndChangesNothing()
    {
        var a = await StartAsync("a");
        await AcmeClusterNode.UntilAsync(() => a.Certificate is not null && _etcd.Find(Turn) is null, "one has it", a);
        var before = _etcd.Revision;

        var wrong = await StartAsync("b", "wrong");
        await wrong.Log.SaysAsync("it is to be ordered, and is not now: the secret of this node is not that of the cluster");
        wrong.Clock.Advance(TimeSpan.FromHours(2));
        await Eventually.BeTrueAsync(() => wrong.Clock.UntilNextTimer is not null, "it waits");

        (wrong.Certificate, _authority.Orders, _etcd.Revision).Should().Be((null, 1, before));
        wrong.Warnings.Should().HaveCount(2).And.ContainSingle(line => line.Contains(
            $"Error: cluster 'edge': the secret in '{_files.File("wrong")}' (LoadBalancer:Cluster:SecretFile) is not the one"));
        a.Warnings.Should().BeEmpty();
    }

    [Test]
    public async Task EtcdComesBackEmpty_WhatNodesHaveIsWrittenAgainAndNothingIsOrdered()
    {
        var (a, b) = (await StartAsync("a"), await StartAsync("b"));
        await AcmeClusterNode.UntilAsync(() => a.Certificate is not null && a.Certificate == b.Certificate && _etcd.Find(Turn) is null,
            "both have it", a, b);
        var (keys, certificate) = (KeysOf("store"), a.Certificate);

        _etcd.Forget(1);

        await Eventually.BeTrueAsync(() => KeysOf("store").SequenceEqual(keys), "all is there again");
        var c = await StartAsync("c");
        await Eventually.BeTrueAsync(() => c.Certificate == certificate, "one that comes has it too");
        _authority.Orders.Should().Be(1);
    }

    [Test]
    public async Task Start_NodesHadCertificatesOfTheirOwn_TheNewerOneHolds()
    {
        await using (var other = await EtcdStub.StartAsync(TimeProvider.System))
        {
            var a = await StartAsync("a");
            await AcmeClusterNode.UntilAsync(() => a.Certificate is not null, "one has its own", a);
            await a.DisposeAsync();
            await using var b = await AcmeClusterNode.StartAsync(other.Address, "b", OptionsOf("b"), _files.File("right"));
            await AcmeClusterNode.UntilAsync(() => b.Certificate is not null, "the other one too", b);
        }
        _etcd.Forget(1);
        var older = await StartAsync("a");
        await Eventually.BeTrueAsync(() => KeysOf("store").Count == 3, "the first one shares");

        var newer = await StartAsync("b");
        var own = newer.Certificate;

        await Eventually.BeTrueAsync(() => older.Certificate == own, "the newer one holds");
        (newer.Certificate, _authority.Orders).Should().Be((own, 2));
    }

    [Test]
    public async Task Store_FilesAreRemovedAtOneNode_AnotherCertificateIsOrderedForAll()
    {
        var (a, b) = (await StartAsync("a"), await StartAsync("b"));
        await AcmeClusterNode.UntilAsync(() => a.Certificate is not null && a.Certificate == b.Certificate && _etcd.Find(Turn) is null
            && a.Last == b.Last, "both have it", a, b);
        var before = a.Certificate;
        File.Delete(b.Options.FileOf(Name));
        File.Delete(Path.ChangeExtension(b.Options.FileOf(Name), ".json"));

        b.Apply(b.Options); // as a reload does
        await AcmeClusterNode.UntilAsync(() => a.Certificate != before && a.Certificate == b.Certificate, "both have another one", b);

        _authority.Orders.Should().Be(2);
    }

    [Test]
    public async Task Store_ValueInEtcdIsDamaged_SaysSoAndIsWrittenAnewWhenItIsDeleted()
    {
        var (a, key) = (await StartAsync("a"), $"{Folder}/{Name}.pem");
        await AcmeClusterNode.UntilAsync(() => a.Certificate is not null && _etcd.Find(Turn) is null, "one has it", a);
        var certificate = a.Certificate;

        _etcd.Put(key, "1.garbage");
        await a.Log.SaysAsync($"Error: cluster 'edge': the value of {key} in etcd cannot be decrypted");
        (a.Certificate, _authority.Orders).Should().Be((certificate, 1));

        _etcd.Delete(key);
        await Eventually.BeTrueAsync(() => _etcd.Find(key) is not null, "it is there again");
        var b = await StartAsync("b");
        await Eventually.BeTrueAsync(() => b.Certificate == certificate, "and is the same");
    }

    [TestCase(10, 20, null, false, TestName = "IsOwn_EtcdHasALaterOne_IsNot")]
    [TestCase(20, 10, null, true, TestName = "IsOwn_EtcdHasAnEarlierOne_Is")]
    [TestCase(10, 20, "others", true, TestName = "IsOwn_ChangedHereOnly_Is")]
    [TestCase(10, 20, "own", false, TestName = "IsOwn_ChangedThereOnly_IsNot")]
    [TestCase(20, 10, "own", false, TestName = "IsOwn_ChangedThereByAClockThatIsBehind_IsNot")]
    [TestCase(10, 10, null, false, TestName = "IsOwn_SameTime_IsNot")]
    [TestCase(999, 20, null, false, TestName = "IsOwn_OfAClockThatWasWrong_IsNot")]
    [TestCase(10, null, "own", true, TestName = "IsOwn_EtcdHasNone_Is")]
    public void IsOwn(int ownMinute, int? othersMinute, string? before, bool expected)
    {
        var begin = new FakeClock().GetUtcNow();
        string? TextOf(int failures, int? minute) =>
            minute is null ? null : new Attempt(failures, begin.AddMinutes(minute.Value), TimeSpan.FromMinutes(1)).ToText();
        var (own, others) = (TextOf(1, ownMinute), TextOf(2, othersMinute));

        SharedFile.Attempt(OptionsOf("a"), Name)
            .IsOwn(own!, others, before == "own" ? own : before is null ? null : others, begin.AddMinutes(30)).Should().Be(expected);
    }

    [Test]
    public void IsOwn_IsHalfOrOfAnotherName_IsNot()
    {
        using var certificates = new TestCertificates();
        var issued = certificates.Issue("other", "other.test");
        var other = File.ReadAllText(issued.File) + "\n" + File.ReadAllText(issued.KeyFile!);

        foreach (var text in new[] { "", "half", other })
        {
            SharedFile.Certificate(OptionsOf("a"), Name).IsOwn(text, null, null, default).Should().BeFalse();
        }
        SharedFile.Certificate(OptionsOf("a"), "other.test").IsOwn(other, "half", null, default).Should().BeTrue();
        SharedFile.Account(OptionsOf("a")).IsOwn("no key", null, null, default).Should().BeFalse();
    }

    private async Task<AcmeClusterNode> StartAsync(string name, string secret = "right")
    {
        _nodes.Add(await AcmeClusterNode.StartAsync(_etcd.Address, name, OptionsOf(name), _files.File(secret)));
        return _nodes[^1];
    }

    private AcmeOptions OptionsOf(string node) => new()
    {
        Directory = _authority.Address,
        Names = [Name],
        AcceptTerms = true,
        Store = _files.File(node),
    };

    private List<string> KeysOf(string kind) =>
        [.. _etcd.Keys.Where(key => key.StartsWith($"/lb/edge/acme/{kind}/", StringComparison.Ordinal))];
}
