using LoadBalancer.Composition;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Logging.Abstractions;

namespace LoadBalancer.Tests.Composition;

/// <summary>The guards of a node when its configuration changes.</summary>
internal sealed class NodeGuardsTests
{
    private static readonly AuthenticationOptions Jwt = new()
    {
        Type = AuthenticationType.Jwt,
        KeysAddress = "http://127.0.0.1:1/",
        Issuer = "i",
        Audience = "a",
    };

    private readonly FakeClock _clock = new();

    [Test]
    public async Task Prepare_OneOfThemFails_TheOthersEnd()
    {
        using var guards = new NodeGuards(_clock, NullLoggerFactory.Instance);

        guards.Invoking(all => all.Prepare(Options(("keys", Jwt), ("users", new AuthenticationOptions { UsersFile = "/nowhere/users" }))))
            .Should().Throw<StartException>().WithMessage("authentication 'users': *");

        await Eventually.BeTrueAsync(() => _clock.UntilNextTimer is null, "nothing fetches keys any more");
    }

    [Test]
    public async Task Discard_WhatWasPrepared_Ends()
    {
        using var guards = new NodeGuards(_clock, NullLoggerFactory.Instance);
        var prepared = guards.Prepare(Options(("keys", Jwt)));

        guards.Discard(prepared);

        await Eventually.BeTrueAsync(() => _clock.UntilNextTimer is null, "nothing fetches keys any more");
    }

    private static LoadBalancerOptions Options(params (string Name, AuthenticationOptions Options)[] all) =>
        new() { Authentication = all.ToDictionary(entry => entry.Name, entry => entry.Options) };
}
