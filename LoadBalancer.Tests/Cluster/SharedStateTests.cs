using FsCheck;
using LoadBalancer.Cluster;
using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Tests.Cluster;

/// <summary>What nodes know of operators' changes ends the same everywhere, whatever each has seen of it, and in which order.</summary>
[Parallelizable]
internal sealed class SharedStateTests
{
    private static readonly DateTimeOffset Start = new(2026, 11, 30, 12, 0, 0, TimeSpan.Zero);

    [Property(Replay = "20261130,7", MaxTest = 2000)]
    public void Merge_AnyChangesInAnyOrderSomeTwice_EndsInTheSameState(NonEmptyArray<ushort> numbers, int seed)
    {
        var changes = numbers.Get.Select(Change).ToList();
        var random = new Random(seed);
        var expected = Text(changes.Aggregate(SharedState.Empty, Add));

        var others = changes.Concat(changes.Where(_ => random.Next(2) == 0)).OrderBy(_ => random.Next()).ToList();

        Text(others.Aggregate(SharedState.Empty, Add)).Should().Be(expected);
    }

    [Property(Replay = "20261130,7", MaxTest = 1000)]
    public void Merge_StatesInGroups_EndsInTheSameState(NonEmptyArray<ushort> numbers, byte nodes, int seed)
    {
        var changes = numbers.Get.Select(Change).ToList();
        var random = new Random(seed);
        var known = new SharedState[1 + nodes % 5];
        Array.Fill(known, SharedState.Empty);
        foreach (var change in changes)
        {
            var node = random.Next(known.Length);
            known[node] = Add(known[node], change);
        }

        random.Shuffle(known);

        Text(known.Aggregate((one, other) => one.Merge(other))).Should().Be(Text(changes.Aggregate(SharedState.Empty, Add)));
        known[0].Merge(known[0]).Should().BeSameAs(known[0]);
    }

    [Property(Replay = "20261130,7", MaxTest = 500)]
    public void With_AnyClock_HoldsOverWhatWasKnown(NonEmptyArray<ushort> numbers, sbyte skew)
    {
        var known = numbers.Get.Select(Change).Aggregate(SharedBackend.None, (backend, change) => backend.Merge(change.Backend));

        var changed = known.With(new OperatorChange.Patch(true, AdminState.Disabled, false, null), Start.AddMinutes(skew), "a");

        known.Merge(changed).Should().Be(changed).And.Be(changed.Merge(known));
        changed.AdminState!.Value.Should().Be(AdminState.Disabled);
        changed.Weight.Should().Be(known.Weight);
        changed.Added.Should().Be(known.Added);
    }

    [Test]
    public void Merge_NamesThatDifferInCase_AreOneBackend()
    {
        var backend = SharedBackend.None.With(new OperatorChange.Patch(true, AdminState.Disabled, false, null), Start, "a");

        var state = SharedState.Empty.Merge(BackendKey.Of("Web", "B1"), backend);

        state.Of("wEB").Should().ContainKey("b1").WhoseValue.Should().Be(backend);
    }

    [Test]
    public void Merge_NothingNew_IsTheSameObjectForEachPool()
    {
        var backend = SharedBackend.None.With(new OperatorChange.Patch(false, null, true, 5), Start, "a");
        var state = SharedState.Empty.Merge(BackendKey.Of("web", "b1"), backend);

        state.Merge(BackendKey.Of("web", "b1"), backend).Should().BeSameAs(state);
        state.Merge(BackendKey.Of("api", "b1"), backend).Of("web").Should().BeSameAs(state.Of("web"));
    }

    [Test]
    public void Without_OneOfTwoKeys_LeavesTheOther()
    {
        var key = BackendKey.Of("web", "b1");
        var put = new OperatorChange.Put(new AddedBackend("b1", new EndpointAddress("http", "127.0.0.1", 80), 1, AdminState.Ready));
        var both = SharedBackend.None.With(put, Start, "a").With(new OperatorChange.Patch(false, null, true, 5), Start, "a");
        var state = SharedState.Empty.Merge(key, both);

        state.Without(key, SharedPart.Admin).Find(key).Should().Be(both with { Weight = null });
        state.Without(key, SharedPart.Added).Find(key).Should().Be(both with { Added = null });
        state.Without(key, SharedPart.Admin).Without(key, SharedPart.Added).All.Should().BeEmpty();
    }

    // Two pools, four backends, four times, three nodes: so that conflicts and ties are common.
    internal static (BackendKey Key, SharedBackend Backend) Change(ushort number)
    {
        var key = BackendKey.Of($"pool{number & 1}", $"b{(number >> 1) & 3}");
        var (time, node) = (Start.AddSeconds((number >> 3) & 3), $"n{((number >> 5) & 3) % 3}");
        OperatorChange change = ((number >> 7) & 3) switch
        {
            0 => new OperatorChange.Patch(
                true, ((number >> 9) & 3) is < 3 and var state ? (AdminState)state : null, (number >> 11 & 1) == 0, 2),
            1 => new OperatorChange.Patch(false, null, true, ((number >> 9) & 3) is > 0 and var weight ? weight : null),
            2 => new OperatorChange.Put(
                new AddedBackend("b", new EndpointAddress("http", "127.0.0.1", 80 + (number >> 9)), 1, AdminState.Ready)),
            _ => new OperatorChange.Delete(),
        };
        return (key, SharedBackend.None.With(change, time, node));
    }

    private static SharedState Add(SharedState state, (BackendKey Key, SharedBackend Backend) change) =>
        state.Merge(change.Key, change.Backend);

    private static string Text(SharedState state) => (StateCopy.Empty with { State = state }).ToJson().ToJsonString();
}
