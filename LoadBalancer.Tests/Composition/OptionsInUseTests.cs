using LoadBalancer.Composition;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Management;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Composition;

[Parallelizable]
internal sealed class OptionsInUseTests
{
    private static readonly LoadBalancerOptions File = new()
    {
        Listeners = new Dictionary<string, ListenerOptions>
        {
            ["web"] = new HttpListenerOptions { Address = TestNode.Parse("http://127.0.0.1:0"), Pool = "web" },
        },
        Pools = new Dictionary<string, PoolOptions>
        {
            ["web"] = new()
            {
                Backends = new Dictionary<string, BackendOptions> { ["b1"] = new() { Address = TestNode.Parse("http://127.0.0.1:1") } },
            },
        },
    };

    private static readonly PoolSettings First = PoolSettings.Of(File.Pools["web"]) with { Policy = PolicyName.First };

    [Test]
    public async Task Change_WhileAReloadWaits_IsRefusedAfterAWhile()
    {
        var (clock, reload) = (new FakeTimeProvider(), new TaskCompletionSource());
        using var options = new OptionsInUse(File, null, (_, isReload) => isReload ? reload.Task : Task.CompletedTask, clock);
        var reloading = options.ApplyAsync(File);

        var change = options.ChangeAsync("web", _ => (First, null));
        change.IsCompleted.Should().BeFalse();
        clock.Advance(TimeSpan.FromSeconds(5));

        (await change).Should().BeEquivalentTo(
            new { Status = 409, Error = "a change of the configuration file is being applied; try again later" });
        reload.SetResult();
        await reloading;
        (await options.ChangeAsync("web", _ => (First, null))).Should().BeNull("the turn was given back");
        options.InUse.Pools["web"].Policy.Should().Be(PolicyName.First);
    }

    [Test]
    public async Task Change_AfterAReloadThatItHasWaitedFor_GetsTheSettingsOfThat()
    {
        var reload = new TaskCompletionSource();
        using var options = new OptionsInUse(
            File, null, (_, isReload) => isReload ? reload.Task : Task.CompletedTask, TimeProvider.System);
        var file = File with { Pools = new Dictionary<string, PoolOptions> { ["web"] = First.In(File.Pools["web"]) } };
        var reloading = options.ApplyAsync(file);

        PoolSettings? seen = null;
        var change = options.ChangeAsync("web", now => (seen = now, null));
        reload.SetResult();
        await reloading;

        (await change).Should().BeNull();
        seen.Should().Be(First);
    }

    [Test]
    public async Task Change_Refuses_LeavesEverythingAsItWas()
    {
        using var options = new OptionsInUse(File, null, (_, _) => Task.CompletedTask, TimeProvider.System);
        var refused = ChangeOutcome.Refused(412, "no");

        (await options.ChangeAsync("web", _ => (null, refused))).Should().BeSameAs(refused);

        options.InUse.Should().BeSameAs(File);
    }

    [Test]
    public async Task Change_CannotBeApplied_LeavesEverythingAsItWas()
    {
        using var options = new OptionsInUse(
            File, null, (_, _) => throw new StartException("no", new InvalidOperationException()), TimeProvider.System);

        (await options.ChangeAsync("web", _ => (First, null)))!.Error.Should().Be("no");
        (await options.ChangeAsync("other", _ => (First, null)))!.Error.Should().Be("pool 'other' has just been removed");

        options.InUse.Should().BeSameAs(File);
    }

    [Test]
    public void Begin_AfterAnotherProcess_KeepsWhatTheFileHasNotChangedSince()
    {
        var before = PoolSettings.Of(File.Pools["web"]) with { QueueTimeout = TimeSpan.FromSeconds(1) };
        var state = new LoadBalancer.Upgrade.HandedState
        {
            Pools =
            [
                new()
                {
                    Name = "WEB",
                    ConfiguredSettings = before.ToJson(),
                    Settings = (before with { Policy = PolicyName.First, QueueTimeout = TimeSpan.FromSeconds(2) }).ToJson(),
                },
            ],
        };

        using var options = new OptionsInUse(File, state, (_, _) => Task.CompletedTask, TimeProvider.System);

        options.Find("web").Should().Be(First, "the file has another time-out than before");
    }
}
