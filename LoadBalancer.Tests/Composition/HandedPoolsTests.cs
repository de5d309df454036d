using LoadBalancer.Composition;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Upgrade;

namespace LoadBalancer.Tests.Composition;

/// <summary>With what a pool begins in a process that replaces another one.</summary>
internal sealed class HandedPoolsTests
{
    private static readonly HandedBackend Configured = new() { Name = "b1", Address = "http://a:80", Weight = 1 };

    private static readonly HandedBackend Changed = new()
    {
        Name = "b1",
        Address = "http://a:80",
        Weight = 7,
        AdminState = "Draining",
    };

    [Test]
    public void Begin_NoOtherProcess_IsTheConfiguration() =>
        Begin(null, ("b1", "http://a:80", 3)).Should().Equal("b1 http://a:80 3 Ready");

    [Test]
    public void Begin_OperatorHasChangedABackend_StaysSo() =>
        Begin(Handed(Changed), ("b1", "http://a:80", 1))
            .Should().Equal("b1 http://a:80 7 Draining");

    [Test]
    public void Begin_ConfigurationHasChangedThatSetting_HasTheLastWord() =>
        Begin(Handed(Changed), ("b1", "http://a:80", 2))
            .Should().Equal("b1 http://a:80 2 Draining");

    [Test]
    public void Begin_ConfigurationHasMovedABackend_BeginsAnew() =>
        Begin(Handed(new HandedBackend { Name = "b1", Address = "http://a:80", Weight = 7 }), ("b1", "http://b:80", 1))
            .Should().Equal("b1 http://b:80 1 Ready");

    [Test]
    public void Begin_OperatorHasMovedABackend_StaysSo() =>
        Begin(Handed(new HandedBackend { Name = "b1", Address = "http://c:80", Weight = 1 }), ("b1", "http://a:80", 1))
            .Should().Equal("b1 http://c:80 1 Ready");

    [Test]
    public void Begin_OperatorHasRemovedABackend_StaysSo() => Begin(Handed(), ("b1", "http://a:80", 1)).Should().BeEmpty();

    [Test]
    public void Begin_OperatorHasAddedABackend_StaysSo() =>
        Begin(Handed(Configured, new HandedBackend { Name = "b2", Address = "http://d:80", Weight = 2 }), ("b1", "http://a:80", 1))
            .Should().Equal("b1 http://a:80 1 Ready", "b2 http://d:80 2 Ready");

    [Test]
    public void Begin_ConfigurationHasDroppedABackend_IsGone() => Begin(Handed(Configured)).Should().BeEmpty();

    [Test]
    public void Begin_BackendThatCannotBeRead_IsLeftOut() =>
        Begin(
            new HandedPool
            {
                Backends =
                [
                    new() { Name = "b2", Address = "nonsense" },
                    new() { Name = "b3", Address = "http://a:80", Weight = -1 },
                    new() { Name = "b4", Address = "http://a:80", AdminState = "Asleep" },
                ],
            },
            ("b1", "http://a:80", 1)).Should().Equal("b1 http://a:80 1 Ready");

    [Test]
    public void RestoreLimits_LimitWasFound_GoesOnFromThere()
    {
        var backends = "abc".Select((host, i) =>
        {
            EndpointAddress.TryParse($"http://{host}:80", out var parsed, out _).Should().BeTrue();
            var backend = new Backend($"b{i}", parsed!, new BackendHealth(new HealthRules(), TimeProvider.System));
            backend.LimitTo(InFlightLimit.Auto);
            return backend;
        }).ToList();

        HandedPools.RestoreLimits(
            Handed(
                new HandedBackend { Name = "b0", Address = "http://a:80", Limit = 7, BaseSeconds = 0.25 },
                new HandedBackend { Name = "b1", Address = "http://elsewhere:80", Limit = 7 },
                new HandedBackend { Name = "b2", Address = "http://c:80", Limit = 5000, BaseSeconds = double.NaN }),
            backends);

        backends.Select(backend => (backend.MaxInFlight, backend.Adaptive!.BaseSeconds)).Should().Equal((7, 0.25), (20, 0), (1000, 0));
    }

    private static HandedPool Handed(params HandedBackend[] backends) =>
        new() { Name = "web", Configured = [Configured], Backends = [.. backends] };

    private static IEnumerable<string> Begin(HandedPool? handed, params (string Name, string Address, int Weight)[] configured) =>
        HandedPools.Begin(handed, new PoolOptions
        {
            Backends = configured.ToDictionary(
                backend => backend.Name, backend => new BackendOptions { Address = Parse(backend.Address), Weight = backend.Weight }),
        }).Select(begun => $"{begun.Name} {begun.Options.Address} {begun.Options.Weight} {begun.Options.AdminState}");

    private static EndpointAddress Parse(string text) => EndpointAddress.TryParse(text, out var address, out _) ? address : null!;
}
