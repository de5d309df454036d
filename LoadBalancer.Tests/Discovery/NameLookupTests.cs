using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Discovery;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Discovery;

/// <summary>What is made of the answers of DNS servers, good and bad ones.</summary>
internal sealed class NameLookupTests
{
    [Test]
    public async Task FindHost_RecordsOfBothFamilies_HasAllWithTheShortestTtl()
    {
        await using var server = DnsStub.Of(() => ["A 60 127.0.0.1", "A 60 127.0.0.2", "AAAA 30 ::1"]);

        var answer = await Lookup(server).FindHostAsync("web.test", null, default);

        Addresses(answer).Should().Equal("127.0.0.1", "127.0.0.2", "::1");
        answer.Ttl.Should().Be(TimeSpan.FromSeconds(30));
    }

    [Test]
    public async Task FindHost_OneFamilyFails_HasTheOtherAndWhatTheFirstHadBefore()
    {
        await using var server = new DnsStub(question =>
            question.ReplyAsync(question.Type == "A" ? question.Answer(0, "A 60 127.0.0.1") : question.Answer(2)));
        var last = new LookupAnswer([new(IPAddress.Parse("127.0.0.9"), "web.test"), new(IPAddress.IPv6Loopback, "web.test")], null);

        var first = await Lookup(server).FindHostAsync("web.test", null, default);
        var later = await Lookup(server).FindHostAsync("web.test", last, default);

        Addresses(first).Should().Equal("127.0.0.1");
        Addresses(later).Should().Equal("127.0.0.1", "::1");
        later.Ttl.Should().Be(TimeSpan.FromSeconds(60));
    }

    [Test]
    public async Task FindHost_Alias_FollowsIt()
    {
        await using var server = new DnsStub(question => question.ReplyAsync(question.Type == "A"
            ? question.Answer(0, "CNAME 20 b.test", "b.test CNAME 60 c.test", "c.test A 60 127.0.0.1", "d.test A 60 127.0.0.2")
            : question.Answer(0, "CNAME 20 b.test", "b.test CNAME 60 a.test", "a.test CNAME 60 b.test")));

        var answer = await Lookup(server).FindHostAsync("a.test", null, default);

        Addresses(answer).Should().Equal("127.0.0.1");
        answer.Ttl.Should().Be(TimeSpan.FromSeconds(20));
    }

    [TestCase(3, "Nxdomain")]
    [TestCase(2, "Servfail")]
    [TestCase(5, "Refused")]
    [TestCase(4, "Error")]
    [TestCase(0, "Empty")]
    public async Task FindHost_NoAddress_FailsWithTheReason(int code, string result)
    {
        await using var server = new DnsStub(question => question.ReplyAsync(question.Answer(code)));

        await FailsAsync(Lookup(server).FindHostAsync("web.test", null, default), result);
    }

    [Test]
    public async Task FindHost_FirstServerFails_AsksTheNext()
    {
        await using var broken = new DnsStub(question => question.ReplyAsync(question.Answer(2)));
        await using var good = DnsStub.Of(() => ["A 60 127.0.0.1"]);
        var options = new DnsOptions { Server = [$"127.0.0.1:{ReservedPorts.Next()}", broken.Address, good.Address] };

        var answer = await new NameLookup(options, TimeProvider.System).FindHostAsync("web.test", null, default);

        Addresses(answer).Should().Equal("127.0.0.1");
    }

    [Test]
    public async Task FindHost_TruncatedAnswer_AsksOverTcp()
    {
        string[] records = [.. Enumerable.Range(0, 1000).Select(i => $"A 60 127.1.{i / 250}.{i % 250}")];
        await using var server = new DnsStub(question => question.ReplyAsync(
            question.Type == "AAAA" ? question.Answer(0) : question.IsTcp ? question.Answer(0, records) : question.Truncated()));

        var answer = await Lookup(server).FindHostAsync("web.test", null, default);

        answer.Servers.Should().HaveCount(1000);
    }

    [Test]
    public async Task FindHost_SpoofedAnswers_AreIgnored()
    {
        await using var server = new DnsStub(async question =>
        {
            var spoofed = question.Answer(0, "A 60 127.0.0.66");
            byte[] otherId = [(byte)~spoofed[0], .. spoofed[1..]];
            byte[] otherName = [.. spoofed];
            otherName[13]++;
            byte[] question2 = [.. question.Message];
            await question.ReplyAsync(otherId);
            await question.ReplyAsync(otherName);
            await question.ReplyAsync(question2); // a question is no answer
            await question.ReplyFromElsewhereAsync(spoofed);
            await question.ReplyAsync([]);
            await question.ReplyAsync(question.Type == "A" ? question.Answer(0, "A 60 127.0.0.1") : question.Answer(0));
        });

        var answer = await Lookup(server).FindHostAsync("web.test", null, default);

        Addresses(answer).Should().Equal("127.0.0.1");
    }

    // Each alone: behind another one, a client that gives up at the first would never get to it.
    [TestCase("of another port")]
    [TestCase("of another address")]
    [TestCase("with another number")]
    [TestCase("to another question")]
    [TestCase("that is a question")]
    [TestCase("without content")]
    public async Task FindHost_SpoofedAnswerComesFirst_IsIgnored(string kind)
    {
        var port = 0;
        await using var server = new DnsStub(async question =>
        {
            var spoofed = question.Answer(0, "A 60 127.0.0.66");
            byte[] otherName = [.. spoofed];
            otherName[13]++;
            await (kind switch
            {
                "of another port" => question.ReplyFromElsewhereAsync(spoofed),
                "of another address" => question.ReplyFromElsewhereAsync(spoofed, "127.0.0.53", Volatile.Read(ref port)),
                "with another number" => question.ReplyAsync([(byte)~spoofed[0], .. spoofed[1..]]),
                "to another question" => question.ReplyAsync(otherName),
                "that is a question" => question.ReplyAsync([.. question.Message]),
                _ => question.ReplyAsync([]),
            });
            await question.ReplyAsync(question.Type == "A" ? question.Answer(0, "A 60 127.0.0.1") : question.Answer(0));
        });
        Volatile.Write(ref port, server.Port);

        var answer = await Lookup(server).FindHostAsync("web.test", null, default);

        Addresses(answer).Should().Equal("127.0.0.1");
    }

    [Test]
    public async Task FindHost_MalformedAnswer_Fails()
    {
        await using var server = new DnsStub(question => question.ReplyAsync(question.Answer(0, "A 60 127.0.0.1", "AAAA 60 ::1")[..^3]));

        await FailsAsync(Lookup(server).FindHostAsync("web.test", null, default), "Malformed");
    }

    [Test]
    public async Task FindHost_NoAnswer_AsksTwiceAndFails()
    {
        var clock = new FakeClock();
        await using var server = new DnsStub(_ => Task.CompletedTask);
        var lookup = new NameLookup(new DnsOptions { Server = [server.Address] }, clock).FindHostAsync("web.test", null, default);
        await Eventually.BeTrueAsync(() => server.Asked == 2, "both questions are asked");

        await Eventually.BeDoneAsync(Task.WhenAny(lookup), clock, TimeSpan.FromMilliseconds(100), "it gives up");

        await FailsAsync(lookup, "Timeout");
        server.Asked.Should().Be(4);
    }

    [Test]
    public async Task FindHost_ServerDoesNotKnowOptions_AsksWithoutThem()
    {
        await using var server = new DnsStub(question => question.ReplyAsync(
            question.HasOptions ? question.Answer(1)
            : question.Type == "A" ? question.Answer(0, "A 60 127.0.0.1")
            : question.Answer(0)));

        Addresses(await Lookup(server).FindHostAsync("web.test", null, default)).Should().Equal("127.0.0.1");
    }

    [Test]
    public async Task FindService_Records_HasServersWithPortsPrioritiesAndWeights()
    {
        await using var server = new DnsStub(question => question.ReplyAsync((question.Type, question.Name) switch
        {
            ("SRV", _) => question.AnswerWith(
                ["SRV 60 1 10 8003 c.test", "SRV 60 0 30 8001 a.test", "SRV 60 0 20 8002 b.test"], ["a.test A 15 127.0.0.1"]),
            ("A", "b.test") => question.Answer(0, "A 60 127.0.0.2", "A 60 127.0.0.3"),
            ("A", "c.test") => question.Answer(3),
            _ => question.Answer(0),
        }));

        var answer = await Lookup(server).FindServiceAsync("_http._tcp.web.test", null, default);

        answer.Servers.Select(found => $"{found.Address}:{found.Port} {found.Host} {found.Priority} {found.Weight}").Should().Equal(
            "127.0.0.1:8001 a.test 0 30", "127.0.0.2:8002 b.test 0 20", "127.0.0.3:8002 b.test 0 20");
        answer.Ttl.Should().Be(TimeSpan.FromSeconds(15));
    }

    [Test]
    public async Task FindService_TargetIsRoot_HasNoServers()
    {
        await using var server = DnsStub.Of(() => ["SRV 60 0 0 0 ."]);

        (await Lookup(server).FindServiceAsync("_http._tcp.web.test", null, default)).Servers.Should().BeEmpty();
    }

    [Test]
    public async Task FindService_NoTargetHasAnAddress_Fails()
    {
        await using var server = new DnsStub(question =>
            question.ReplyAsync(question.Type == "SRV" ? question.Answer(0, "SRV 60 0 0 80 a.test") : question.Answer(3)));

        await FailsAsync(Lookup(server).FindServiceAsync("_http._tcp.web.test", null, default), "Nxdomain");
    }

    [Test]
    public async Task FindService_TargetFailsForAWhile_KeepsItsAddresses()
    {
        await using var server = new DnsStub(question => question.ReplyAsync((question.Type, question.Name) switch
        {
            ("SRV", _) => question.AnswerWith(["SRV 60 0 1 80 a.test", "SRV 60 0 1 80 b.test"], ["a.test A 60 127.0.0.1"]),
            _ => question.Answer(2),
        }));
        var last = new LookupAnswer([new(IPAddress.Parse("127.0.0.2"), "b.test", 80)], null);

        Addresses(await Lookup(server).FindServiceAsync("_http._tcp.web.test", last, default)).Should().Equal("127.0.0.1", "127.0.0.2");
    }

    [TestCase("a\r\nX-Evil:1.test")]
    [TestCase("a/b.test")]
    [TestCase("a:1.test")]
    public async Task FindService_TargetIsNoHostName_LeavesItOut(string target)
    {
        await using var server = new DnsStub(question => question.ReplyAsync(
            question.AnswerWith([$"SRV 60 0 1 80 {target}", "SRV 60 0 1 80 a_b-1.test"],
                [$"{target} A 60 127.0.0.1", "a_b-1.test A 60 127.0.0.2"])));

        Addresses(await Lookup(server).FindServiceAsync("_http._tcp.web.test", null, default)).Should().Equal("127.0.0.2");
    }

    [Test]
    public async Task FindService_PortIsZero_IsNoServer()
    {
        string[] records = ["SRV 60 0 1 0 a.test", "SRV 60 0 1 80 b.test"];
        await using var server = new DnsStub(question => question.ReplyAsync(
            question.AnswerWith(records, ["a.test A 60 127.0.0.1", "b.test A 60 127.0.0.2"])));

        Addresses(await Lookup(server).FindServiceAsync("_http._tcp.web.test", null, default)).Should().Equal("127.0.0.2");

        records = [records[0]];
        await FailsAsync(Lookup(server).FindServiceAsync("_http._tcp.web.test", null, default), "Empty");
    }

    [Test]
    public async Task FindService_OnlyTargetIsNoHostName_FailsWithoutNamingIt()
    {
        await using var server = DnsStub.Of(() => ["SRV 60 0 1 80 a\r\nfaked-line-of-the-log.test"]);

        var lookup = () => Lookup(server).FindServiceAsync("_http._tcp.web.test", null, default);

        (await lookup.Should().ThrowAsync<LookupException>()).WithMessage("the target of an SRV record is not the name of a host")
            .Which.Result.Should().Be(LookupResult.Malformed);
    }

    [Test]
    public async Task FindHost_SystemsResolver_KnowsLocalhost()
    {
        var answer = await new NameLookup(new DnsOptions(), TimeProvider.System).FindHostAsync("localhost", null, default);

        Addresses(answer).Should().Contain("127.0.0.1");
        answer.Ttl.Should().BeNull();
    }

    private static NameLookup Lookup(DnsStub server) => new(new DnsOptions { Server = [server.Address] }, TimeProvider.System);

    private static IEnumerable<string> Addresses(LookupAnswer answer) => answer.Servers.Select(server => $"{server.Address}");

    private static async Task FailsAsync(Task<LookupAnswer> lookup, string result)
    {
        var failed = async () => await lookup;
        (await failed.Should().ThrowAsync<LookupException>()).Which.Result.ToString().Should().Be(result);
    }
}
