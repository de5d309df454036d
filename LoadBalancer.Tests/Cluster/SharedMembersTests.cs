using System.Collections.Immutable;
using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Tests.Cluster;

/// <summary>What a node makes of operators' changes and its own file.</summary>
[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class SharedMembersTests
{
    private static readonly DateTimeOffset Now = new(2026, 11, 30, 12, 0, 0, TimeSpan.Zero);
    private static readonly OperatorChange.Patch Drain = new(true, AdminState.Draining, false, null);
    private static readonly OperatorChange.Patch Clear = new(true, null, true, null);

    private readonly Dictionary<string, SharedBackend> _shared = [];
    private ImmutableDictionary<string, JudgedBackend> _judged = ImmutableDictionary<string, JudgedBackend>.Empty;

    [Test]
    public void Of_NothingWasSet_IsWhatTheFileSays() => Members("b1 1 Ready", "b2 2 Disabled").Should().Be("b1 1 Ready, b2 2 Disabled");

    [Test]
    public void Of_DrainedAndWeighted_HoldsUntilTheFileSaysSomethingElseOfThat()
    {
        Set("b1", Drain);
        Set("b1", Weight(7));

        Members("b1 1 Ready", "b2 1 Ready").Should().Be("b1 7 Draining, b2 1 Ready");
        Members("b1 1 Ready", "b2 3 Ready").Should().Be("b1 7 Draining, b2 3 Ready", "that was another backend");
        Members("b1 2 Ready").Should().Be("b1 2 Draining", "the file has another weight now");
        Members("b1 1 Ready").Should().Be("b1 1 Draining", "what is over does not come back");
        Members("b1 1 Disabled").Should().Be("b1 1 Disabled");
        Members("b1 1 Ready").Should().Be("b1 1 Ready");
        Set("b1", Weight(9));
        Members("b1 1 Ready").Should().Be("b1 9 Ready", "a new change holds, and the drain before it is still over");
    }

    [Test]
    public void Of_Cleared_IsAsTheFileSays()
    {
        Set("b1", Drain);
        Set("b1", Weight(7));
        Members("b1 1 Ready");

        Set("b1", Clear);

        Members("b1 1 Ready").Should().Be("b1 1 Ready");
    }

    [Test]
    public void Of_FileGetsTheBackendLater_DrainHolds()
    {
        Set("b1", Drain);

        Members("b2 1 Ready").Should().Be("b2 1 Ready");
        Members("b1 1 Ready", "b2 1 Ready").Should().Be("b1 1 Draining, b2 1 Ready");
        Members("b2 1 Ready").Should().Be("b2 1 Ready", "its name led nowhere for a moment");
        Members("b1 1 Ready").Should().Be("b1 1 Draining");
        Members("b1 1 Disabled").Should().Be("b1 1 Disabled");
    }

    [Test]
    public void Of_Added_IsAMemberUntilItIsDeleted()
    {
        Set("B3", Add("B3", 81, 4));

        Members("b1 1 Ready").Should().Be("b1 1 Ready, B3:81 4 Ready");
        Set("b3", Drain);
        Set("b3", Weight(6));
        Members("b1 1 Ready").Should().Be("b1 1 Ready, B3:81 6 Draining");
        Set("b3", Clear);
        Members("b1 1 Ready").Should().Be("b1 1 Ready, B3:81 4 Ready");
        Set("b3", new OperatorChange.Delete());
        Members("b1 1 Ready").Should().Be("b1 1 Ready");
    }

    [Test]
    public void Of_AddedAgainAfterADrain_IsReady()
    {
        Set("b3", Add("b3", 81, 4));
        Set("b3", Drain);
        Set("b3", new OperatorChange.Delete());
        Set("b3", Add("b3", 81, 5));

        Members("b1 1 Ready").Should().Be("b1 1 Ready, b3:81 5 Ready");
    }

    [Test]
    public void Of_AddedAndThenNamedByTheFile_FileHolds()
    {
        Set("b3", Add("b3", 81, 4));
        Members("b1 1 Ready");

        Members("b1 1 Ready", "b3 9 Ready").Should().Be("b1 1 Ready, b3 9 Ready");
        Members("b1 1 Ready").Should().Be("b1 1 Ready", "the file has named it, and does so no longer");
    }

    [Test]
    public void Of_AddedWithTheNameOfOneInTheFile_IsThereUntilTheFileSaysSomethingElse()
    {
        Set("b1", Add("b1", 81, 4));

        Members("b1 1 Draining").Should().Be("b1:81 4 Ready");
        Members("b1 2 Draining").Should().Be("b1 2 Draining");
    }

    [Test]
    public void Of_DeletedAtANodeWhoseFileNamesIt_IsDisabledUntilSomebodySetsItToReady()
    {
        Set("b1", new OperatorChange.Delete());

        Members("b1 3 Ready").Should().Be("b1 3 Disabled");
        Set("b1", new OperatorChange.Patch(true, AdminState.Ready, false, null));
        Members("b1 3 Ready").Should().Be("b1 3 Ready");
    }

    [Test]
    public void Of_AddedForAnotherProtocol_IsLeftOut()
    {
        var tcp = new AddedBackend("b3", new EndpointAddress("tcp", "127.0.0.1", 81), 1, AdminState.Ready);
        Set("b3", new OperatorChange.Put(tcp));
        Set("b4", new OperatorChange.Put(tcp with { Name = "b4", Address = new EndpointAddress("unix", "/run/b4.sock", -1) }));

        Members("b1 1 Ready").Should().Be("b1 1 Ready, b4:-1 1 Ready");
    }

    private static OperatorChange.Patch Weight(int weight) => new(false, null, true, weight);

    private static OperatorChange.Put Add(string name, int port, int weight) =>
        new(new AddedBackend(name, new EndpointAddress("http", "127.0.0.1", port), weight, AdminState.Ready));

    private void Set(string backend, OperatorChange change)
    {
        var key = BackendKey.Of("web", backend).Backend;
        _shared[key] = _shared.GetValueOrDefault(key, SharedBackend.None).With(change, Now, "a");
    }

    // Of backends at port 80 no port is shown.
    private string Members(params string[] file)
    {
        var backends = file.Select(line => line.Split(' ')).ToDictionary(
            word => word[0],
            word => new BackendOptions
            {
                Address = new EndpointAddress("http", "127.0.0.1", 80),
                Weight = int.Parse(word[1], System.Globalization.CultureInfo.InvariantCulture),
                AdminState = Enum.Parse<AdminState>(word[2]),
            });
        (var options, _judged) = SharedMembers.Of(new PoolOptions { Backends = backends }, _shared, _judged);
        return string.Join(", ", options.Backends.Select(entry =>
            $"{entry.Key}{(entry.Value.Address.Port == 80 ? "" : $":{entry.Value.Address.Port}")} "
            + $"{entry.Value.Weight} {entry.Value.AdminState}"));
    }
}
