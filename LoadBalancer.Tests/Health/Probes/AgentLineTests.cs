using LoadBalancer.Health.Probes;
using LoadBalancer.Pools;

namespace LoadBalancer.Tests.Health.Probes;

internal sealed class AgentLineTests
{
    private static readonly AgentReport Before = new(AdminState.Draining, 40, 7, "down");

    [TestCase("up", "Draining 40 7 ", true)]
    [TestCase("UP 75%", "Draining 75 7 ", true)]
    [TestCase("75%", "Draining 75 7 down", false)]
    [TestCase("0%", "Draining 0 7 down", false)]
    [TestCase("30%, 60%", "Draining 60 7 down", false)]
    [TestCase("ready", "Ready 40 7 down", false)]
    [TestCase("ready,up\t150%", "Ready 150 7 ", true)]
    [TestCase("drain", "Draining 40 7 down", false)]
    [TestCase("maint", "Disabled 40 7 down", false)]
    [TestCase("stopped#for an update, up again soon", "Draining 40 7 stopped", true)]
    [TestCase("fail", "Draining 40 7 fail", true)]
    [TestCase("failed", "Draining 40 7 failed", true)]
    [TestCase("down # disk full", "Draining 40 7 down", true)]
    [TestCase("maxconn:30", "Draining 40 30 down", false)]
    [TestCase("maxconn:0", "Draining 40  down", false)]
    [TestCase("75%,maxconn:30,maint,up", "Disabled 75 30 ", true)]
    [TestCase("hello 75 % up% -5% 99999999999% maxconn: maxconn:-1 maxconn:x upwards", "Draining 40 7 down", false)]
    [TestCase("#up", "Draining 40 7 down", false)]
    [TestCase("", "Draining 40 7 down", false)]
    public void Read_Line_ChangesWhatItMentions(string line, string expected, bool isCertain)
    {
        var (report, certain) = AgentLine.Read(line, Before);

        $"{report.State} {report.Share} {report.Limit} {report.Down}".Should().Be(expected);
        certain.Should().Be(isCertain);
    }

    [Test]
    public void Shown_LongOrWithControlCharacters_IsMadeHarmless() =>
        AgentLine.Shown("up\u001b[31m" + new string('x', 200)).Should().Be("up [31m" + new string('x', 93) + "…");
}
