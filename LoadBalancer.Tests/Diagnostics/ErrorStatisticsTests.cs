using LoadBalancer.Diagnostics;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Diagnostics;

internal sealed class ErrorStatisticsTests
{
    private static readonly ErrorPlace Web = ErrorPlace.OfPool("web");

    private readonly FakeTimeProvider _clock = new();

    [TestCase(502, "502_BAD_GATEWAY")]
    [TestCase(503, "503_SERVICE_UNAVAILABLE")]
    [TestCase(504, "504_GATEWAY_TIMEOUT")]
    [TestCase(413, "413_PAYLOAD_TOO_LARGE")]
    [TestCase(508, "508_LOOP_DETECTED")]
    [TestCase(418, "418_IM_A_TEAPOT")]
    [TestCase(599, "599_UNKNOWN")]
    public void TypeOf_Status_IsItsReasonInCapitals(int status, string type) => ErrorStatistics.TypeOf(status).Should().Be(type);

    [Test]
    public void Summary_OfMany_CountsAllAndKeepsTheLastTwenty()
    {
        var errors = new ErrorStatistics(_clock);
        for (var i = 0; i < 50; i++)
        {
            errors.Add(i % 5 == 0 ? 504 : 502, Web, "GET", $"/{i}", "why");
        }

        var summary = errors.Summary();

        summary.Total.Should().Be(50);
        summary.Types.Should().Equal(("502_BAD_GATEWAY", 40), ("504_GATEWAY_TIMEOUT", 10));
        summary.Recent.Select(error => error.Message).Should().Equal(Enumerable.Range(30, 20).Select(i => $"pool 'web': GET /{i}: why"));
    }

    [Test]
    public void Add_TargetWithAQuery_KeepsThePathOnly()
    {
        var errors = new ErrorStatistics(_clock);

        errors.Add(502, Web, "GET", "/path?token=secret", "why");
        errors.Add(400, ErrorPlace.OfListener("web"), null, null, "nonsense");
        errors.Add(502, Web, "GET", "/" + new string('x', 10_000), "why");

        errors.Summary().Recent.Select(error => error.Message).Should().Equal(
            "pool 'web': GET /path: why", "listener 'web': nonsense", $"pool 'web': GET /{new string('x', 199)}…: why");
        errors.Summary().Recent[0].Time.Should().Be(_clock.GetUtcNow());
    }
}
