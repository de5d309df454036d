using System.Text;
using LoadBalancer.Pools;
using LoadBalancer.Upgrade;

namespace LoadBalancer.Tests.Upgrade;

/// <summary>What two versions of the program say to each other.</summary>
internal sealed class HandoverMessageTests
{
    [Test]
    public void Read_WhatWasWritten_IsTheSame()
    {
        var message = new HandoverMessage
        {
            Kind = HandoverMessage.Offer,
            Sockets = [new HandedSocket { Type = "Stream", Address = "127.0.0.1:80" }],
            State = new HandedState
            {
                Pools =
                [
                    new HandedPool
                    {
                        Name = "web",
                        StickyKey = [1, 2, 3],
                        Backends =
                        [
                            new HandedBackend { Name = "b1", Address = "http://a:80", Health = new KnownHealth { EjectionLeft = 1.5 } },
                        ],
                    },
                ],
                Brokers = new() { ["store"] = "Serving" },
                Challenges = new() { ["token"] = "token.thumbprint" },
            },
        };

        HandoverMessage.Read(message.ToBytes()).Should().BeEquivalentTo(message);
    }

    [Test]
    public void Read_FieldsOfALaterVersion_AreIgnored() =>
        Read("""
            { "version": 1, "kind": "offer", "more": { "x": [1] },
              "state": { "pools": [ { "name": "web", "shape": "round", "backends": [ { "name": "b1", "health": { "mood": 1 } } ] } ] } }
            """)!.State!.Pools!.Single().Backends!.Single().Name.Should().Be("b1");

    [Test]
    public void Read_FieldsAreMissing_HaveTheirDefaults()
    {
        var message = Read("""{ "kind": "offer", "state": { "pools": [ { "backends": [ { "name": "b1", "health": {} } ] } ] } }""")!;

        message.Version.Should().Be(HandoverMessage.CurrentVersion);
        message.Errors.Should().BeNull();
        var backend = message.State!.Pools!.Single().Backends!.Single();
        (backend.Weight, backend.AdminState, backend.Health!.IsProbedUp).Should().Be((1, "Ready", null));
    }

    [TestCase("")]
    [TestCase("no JSON")]
    [TestCase("""{ "kind": 1 }""")]
    public void Read_NoMessage_IsNull(string text) => Read(text).Should().BeNull();

    private static HandoverMessage? Read(string text) => HandoverMessage.Read(Encoding.UTF8.GetBytes(text));
}
