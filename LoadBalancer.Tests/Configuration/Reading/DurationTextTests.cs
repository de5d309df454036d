using LoadBalancer.Configuration.Options;
using LoadBalancer.Configuration.Reading;

namespace LoadBalancer.Tests.Configuration.Reading;

internal sealed class DurationTextTests
{
    [TestCase("500ms", "00:00:00.500")]
    [TestCase("30s", "00:00:30")]
    [TestCase("1.5s", "00:00:01.500")]
    [TestCase("5m", "00:05:00")]
    [TestCase("1h", "01:00:00")]
    [TestCase("2H", "02:00:00")]
    [TestCase("0s", "00:00:00")]
    [TestCase("-5s", "-00:00:05")]
    [TestCase("00:00:30", "00:00:30")]
    [TestCase("0:0:30", "00:00:30")]
    [TestCase("00:00:00.200", "00:00:00.200")]
    [TestCase("1.00:00:00", "1.00:00:00")]
    public void Parse_WithUnitOrAllParts_IsThat(string text, string duration) =>
        DurationText.Parse(text, out _).Should().Be(TimeSpan.Parse(duration, System.Globalization.CultureInfo.InvariantCulture));

    [TestCase("30")]
    [TestCase("")]
    [TestCase("s")]
    [TestCase("5 m")]
    [TestCase("5d")]
    [TestCase("1e3s")]
    [TestCase("NaNs")]
    [TestCase("99999999999999999999h")]
    [TestCase("::")]
    [TestCase("00:00:99")]
    [TestCase("x:30")]
    public void Parse_AnythingElse_IsNone(string text) => DurationText.Parse(text, out _).Should().BeNull();

    [TestCase("1:00", "00:01:00", "01:00:00")]
    [TestCase("1:30", "00:01:30", "01:30:00")]
    [TestCase("00:05", "00:00:05", "00:05:00")]
    public void Parse_TwoParts_NamesBothReadings(string text, string shorter, string longer)
    {
        DurationText.Parse(text, out var reason).Should().BeNull();

        reason.Should().StartWith($"'{text}' can be read as minutes:seconds ({shorter}) or as hours:minutes ({longer}); expected ");
    }

    [Test]
    public void Read_HedgeAfterTwoParts_NamesBothReadings()
    {
        SettingText.Read("0:30", typeof(HedgeAfter), out var error).Should().BeNull();

        error.Should().Contain("00:00:30").And.Contain("00:30:00");
    }

    [TestCase("p95", null, 95)]
    [TestCase("200ms", 200, 0)]
    public void Read_HedgeAfter_IsAPercentileOrADuration(string text, int? milliseconds, double percentile) =>
        SettingText.Read(text, typeof(HedgeAfter), out _).Should()
            .Be(new HedgeAfter(milliseconds is { } delay ? TimeSpan.FromMilliseconds(delay) : null, percentile));
}
