using LoadBalancer.Diagnostics;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Diagnostics;

internal sealed class ErrorGroupsTests
{
    private readonly FakeTimeProvider _clock = new(new DateTimeOffset(2026, 11, 30, 3, 0, 0, TimeSpan.Zero));

    [Test]
    public void Groups_OfErrors_AreByKindAndPlaceAndForgetWhatIsAnHourOld()
    {
        var errors = new ErrorStatistics(_clock);
        errors.Add(502, ErrorPlace.OfPool("web", "b1"), "GET", "/1", "connection refused", "connection_refused");
        _clock.Advance(TimeSpan.FromMinutes(30));
        errors.Add(502, ErrorPlace.OfPool("web", "b1"), "GET", "/2", "connection refused", "connection_refused");
        errors.Add(502, ErrorPlace.OfPool("web", "b2"), "GET", "/3", "connection refused", "connection_refused");

        var groups = errors.Groups();

        groups.Select(group => (group.Type, group.Kind, group.Place.Backend, group.LastHour, group.LastMinutes)).Should().Equal(
            ("502_BAD_GATEWAY", "connection_refused", "b1", 2, 1), ("502_BAD_GATEWAY", "connection_refused", "b2", 1, 1));
        groups[0].Example.Message.Should().Be("pool 'web', backend 'b1': GET /2: connection refused");

        _clock.Advance(TimeSpan.FromMinutes(30));
        errors.Groups().Select(group => group.LastHour).Should().Equal(1, 1);
        _clock.Advance(TimeSpan.FromMinutes(30));
        errors.Groups().Should().BeEmpty();
    }

    [Test]
    public void Groups_MoreThanAreKept_AreCountedTogether()
    {
        var errors = new ErrorStatistics(_clock);
        for (var i = 0; i < 250; i++)
        {
            errors.Add(502, ErrorPlace.OfPool("web", $"b{i}"), "GET", "/", "connection refused");
        }

        var groups = errors.Groups();

        groups.Should().HaveCount(201);
        groups[0].Should().BeEquivalentTo(new { Type = "", Kind = "", LastHour = 50 });
    }
}
