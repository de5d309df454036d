using System.Net;
using LoadBalancer.Composition;
using LoadBalancer.Discovery;
using LoadBalancer.Upgrade;

namespace LoadBalancer.Tests.Composition;

/// <summary>What a process tells the one that replaces it about the names of its backends.</summary>
internal sealed class HandedNamesTests
{
    [Test]
    public void Read_WhatWasHanded_IsTheSame()
    {
        var key = new NameKey(NameKind.Service, "_http._tcp.web.test");
        var answer = new LookupAnswer([new(IPAddress.IPv6Loopback, "a.test", 8001, 1, 30)], null);
        var pool = new HandedPool { Found = [HandedNames.Of((key, answer))] };
        var message = new HandoverMessage { State = new HandedState { Pools = [pool] } };

        var read = HandedNames.Read(HandoverMessage.Read(message.ToBytes())!.State!.Pools![0].Found![0]);

        read!.Value.Key.Should().Be(key);
        read.Value.Answer.Servers.Should().Equal(answer.Servers);
    }

    [Test]
    public void Read_OfAnotherVersion_LeavesOutWhatIsNotUnderstood()
    {
        HandedNames.Read(new HandedAnswer { Kind = "Mx", Name = "a.test" }).Should().BeNull();
        List<HandedServer> servers = [new() { Address = "nowhere" }, new() { Address = "127.0.0.1" }];
        var odd = new HandedAnswer { Kind = "All", Name = "a.test", Servers = servers };
        HandedNames.Read(odd)!.Value.Answer.Servers.Should().ContainSingle();
    }
}
