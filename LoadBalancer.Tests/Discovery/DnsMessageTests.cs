using LoadBalancer.Discovery;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Discovery;

/// <summary>Messages of a false DNS server.</summary>
internal sealed class DnsMessageTests
{
    private const int Cases = 20_000;

    [Test]
    public void Read_AnyBytes_EndsInAFormatExceptionAtWorst()
    {
        var random = new Random(19);
        var question = DnsMessage.Question(7, "a.test", DnsRecordType.Srv, hasOptions: true);
        var asked = new DnsQuestion(question, false, null, _ => Task.CompletedTask);
        var good = asked.AnswerWith(["CNAME 60 b.test", "b.test SRV 60 1 2 3 c.test"], ["c.test A 60 127.0.0.1", "c.test AAAA 60 ::1"]);
        DnsMessage.IsAnswerTo(good, 7, "a.test", DnsRecordType.Srv).Should().BeTrue();
        DnsMessage.Read(good).Additional.Should().HaveCount(2);
        for (var i = 0; i < Cases; i++)
        {
            byte[] bytes = [.. good[..random.Next(good.Length + 1)]];
            for (var change = random.Next(4); change > 0 && bytes.Length > 0; change--)
            {
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            }
            try
            {
                _ = DnsMessage.IsAnswerTo(bytes, 7, "a.test", DnsRecordType.Srv);
                _ = DnsMessage.Read(bytes);
            }
            catch (FormatException)
            {
                // as expected
            }
        }
    }

    [Test]
    public void Read_NameThatLeadsToItself_IsMalformed()
    {
        byte[] loop = [0, 7, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0, 0xC0, 12, 0, 1, 0, 1];

        FluentActions.Invoking(() => DnsMessage.Read(loop)).Should().Throw<FormatException>();
    }

    [TestCase("web.test.", "web.test")]
    [TestCase("bücher.test", "xn--bcher-kva.test")]
    [TestCase("_http._tcp.web", "_http._tcp.web")]
    public void NameOf_Name_IsAsked(string host, string name) => DnsMessage.NameOf(host).Should().Be(name);

    [TestCase("a..test")]
    [TestCase("")]
    [TestCase("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.test")]
    public void NameOf_NoName_IsRefused(string host) =>
        FluentActions.Invoking(() => DnsMessage.NameOf(host)).Should().Throw<FormatException>();
}
