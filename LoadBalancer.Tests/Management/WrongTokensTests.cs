using System.Globalization;
using System.Net;
using LoadBalancer.Management;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Management;

/// <summary>What becomes of who guesses the token.</summary>
internal sealed class WrongTokensTests
{
    private static readonly IPAddress Client = IPAddress.Parse("192.0.2.1");

    private FakeTimeProvider _clock = null!;
    private LogRecorder _log = null!;
    private WrongTokens _tokens = null!;

    [SetUp]
    public void SetUp()
    {
        (_clock, _log) = (new FakeTimeProvider(), new LogRecorder());
        using var factory = LoggerFactory.Create(logging => logging.AddProvider(_log));
        _tokens = new WrongTokens(_clock, factory.CreateLogger<WrongTokens>());
    }

    [Test]
    public void Check_FiveWrong_PausesEvenTheRightOne()
    {
        Wrong(5).Should().OnlyContain(check => check == TokenCheck.Wrong);

        Wrong(100).Should().OnlyContain(check => check == TokenCheck.Paused);
        _tokens.Check(Client, () => true).Should().Be(TokenCheck.Paused);
        (_tokens.Wrong, _tokens.Paused).Should().Be((5, 101));
    }

    [Test]
    public void Check_AfterFiveSeconds_OneMoreTry()
    {
        Wrong(6);
        _clock.Advance(WrongTokens.TryInterval);

        Wrong(2).Should().Equal(TokenCheck.Wrong, TokenCheck.Paused);
    }

    [Test]
    public void Check_AfterAWhile_AllTriesAreBack()
    {
        Wrong(6);
        _clock.Advance(WrongTokens.Tries * WrongTokens.TryInterval);

        Wrong(6).Count(check => check == TokenCheck.Wrong).Should().Be(5);
    }

    [Test]
    public void Check_RightOnes_CostNothing()
    {
        Wrong(4);

        Enumerable.Range(0, 100).Select(_ => _tokens.Check(Client, () => true)).Should().OnlyContain(check => check == TokenCheck.Right);
        Wrong(2).Should().Equal(TokenCheck.Wrong, TokenCheck.Paused);
    }

    [Test]
    public void Check_WhileOthersAreLookedAt_HasNoMoreTries()
    {
        var inside = new List<TokenCheck>();
        bool Nested() => inside.Count >= 5 || Add(_tokens.Check(Client, Nested));
        bool Add(TokenCheck check)
        {
            inside.Add(check);
            return false;
        }

        _tokens.Check(Client, Nested);

        inside.Should().Equal(TokenCheck.Paused, TokenCheck.Wrong, TokenCheck.Wrong, TokenCheck.Wrong, TokenCheck.Wrong);
    }

    [TestCase("192.0.2.2", TokenCheck.Wrong)]
    [TestCase("::ffff:192.0.2.1", TokenCheck.Paused)]
    [TestCase("2001:db8::1", TokenCheck.Wrong)]
    public void Check_FromAnotherAddress_HasTriesOfItsOwn(string address, TokenCheck expected)
    {
        Wrong(6);

        _tokens.Check(IPAddress.Parse(address), () => false).Should().Be(expected);
    }

    [TestCase("2001:db8::2", TokenCheck.Paused)]
    [TestCase("2001:db8:0:1::1", TokenCheck.Wrong)]
    public void Check_FromAnIPv6Network_IsOneClient(string address, TokenCheck expected)
    {
        for (var i = 0; i < 6; i++)
        {
            _tokens.Check(IPAddress.Parse($"2001:db8::{i}:1"), () => false);
        }

        _tokens.Check(IPAddress.Parse(address), () => false).Should().Be(expected);
    }

    [Test]
    public void Check_FromEverywhere_KeepsABoundedNumber()
    {
        for (var i = 0; i < 2 * WrongTokens.MostClients; i++)
        {
            _tokens.Check(new IPAddress(0x0a000000L + i), () => false);
        }

        _tokens.Clients.Should().Be(WrongTokens.MostClients);
    }

    [Test]
    public void Check_ManyWrong_LogsOneLineInTenSeconds()
    {
        Wrong(3);
        _clock.Advance(TimeSpan.FromSeconds(10));
        Wrong(1);

        _log.Lines.Should().Equal(
            "Warning: management: wrong tokens: 1, the last from 192.0.2.1; an address that sends several is refused for some seconds",
            "Warning: management: wrong tokens: 3, the last from 192.0.2.1; an address that sends several is refused for some seconds");
    }

    private List<TokenCheck> Wrong(int count) =>
        [.. Enumerable.Range(0, count).Select(i => _tokens.Check(Client, () => i.ToString(CultureInfo.InvariantCulture) == "right"))];
}
