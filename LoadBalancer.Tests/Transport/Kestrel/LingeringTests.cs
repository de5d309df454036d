using System.Net;
using System.Net.Sockets;
using System.Text;
using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;
using LoadBalancer.Transport.Kestrel;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Transport.Kestrel;

/// <summary>Connections that the server ends while the client may still be sending.</summary>
[TestFixtureSource(typeof(Transports), nameof(Transports.All))]
internal sealed class LingeringTests(string transport)
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private readonly FakeTimeProvider _clock = new();
    private IConnectionListener _listener = null!;

    [SetUp]
    public async Task SetUp() =>
        _listener = await new KestrelTransport(
            transport == Transports.Epoll, ListenSocket.BindTcp, new(), _clock, NullLoggerFactory.Instance)
            .BindAsync(new IPEndPoint(IPAddress.Loopback, 0));

    [TearDown]
    public async Task TearDown() => await _listener.DisposeAsync();

    [Test]
    public async Task Dispose_ClientStillSends_GetsTheAnswerAndACleanEnd()
    {
        using var client = await RawPeer.ConnectAsync(((IPEndPoint)_listener.EndPoint).Port);
        await client.SendAsync("begin");
        var ending = AnswerAndEndAsync();

        await client.SendAsync(new string('x', 20 * 1024 * 1024));

        (await client.ReadToItsEndAsync()).Should().Be(("no", false));
        client.EndSending();
        await ending;
    }

    [Test]
    public async Task Dispose_ClientIsSilent_IsResetAfterAWhile()
    {
        using var client = await RawPeer.ConnectAsync(((IPEndPoint)_listener.EndPoint).Port);
        var ending = await ReadAnswerAsync(client);
        var advanced = 0;

        do
        {
            for (var i = 0; i < 10; i++, advanced++)
            {
                _clock.Advance(Second); // The client sends nothing meanwhile.
            }
        }
        while (!await IsSoonResetAsync(client)); // The wait may not have begun when the time passed.

        advanced.Should().BeLessThan((int)KestrelTransportOptions.MostLingering.TotalSeconds, "a silent client is given up sooner");
        await ending;
    }

    [Test]
    public async Task Dispose_ClientNeverEnds_IsResetAfterAWhile()
    {
        using var client = await RawPeer.ConnectAsync(((IPEndPoint)_listener.EndPoint).Port);
        var ending = await ReadAnswerAsync(client);

        await Eventually.BeTrueAsync(
            () =>
            {
                _clock.Advance(Second);
                return IsResetAsync(client);
            },
            "it is reset");
        await ending;
    }

    [Test]
    public async Task Dispose_OfTheListener_WaitsForTheClientsEnd()
    {
        using var client = await RawPeer.ConnectAsync(((IPEndPoint)_listener.EndPoint).Port);
        var ending = await ReadAnswerAsync(client);

        var all = Task.WhenAll(_listener.DisposeAsync().AsTask(), ending);
        all.IsCompleted.Should().BeFalse("the client may have sent something before it heard of the end");
        client.EndSending();

        await all;
    }

    [Test]
    public async Task Dispose_OfTheListener_DoesNotWaitForLong()
    {
        using var client = await RawPeer.ConnectAsync(((IPEndPoint)_listener.EndPoint).Port);
        var ending = await ReadAnswerAsync(client);

        await Task.WhenAll(_listener.DisposeAsync().AsTask(), ending);

        (await IsSoonResetAsync(client)).Should().BeTrue();
    }

    // Returns when the client has read all that the server sends.
    private async Task<Task> ReadAnswerAsync(RawPeer client)
    {
        await client.SendAsync("begin");
        var ending = AnswerAndEndAsync();
        (await client.ReadToItsEndAsync()).Should().Be(("no", false));
        return ending;
    }

    private async Task AnswerAndEndAsync()
    {
        await using var server = (await _listener.AcceptAsync())!;
        var read = await server.Transport.Input.ReadAsync();
        server.Transport.Input.AdvanceTo(read.Buffer.End);
        await server.Transport.Output.WriteAsync(Encoding.Latin1.GetBytes("no"));
        await server.Transport.Input.CompleteAsync();
    }

    // Only a send shows it, and its answer takes a moment.
    private static async Task<bool> IsSoonResetAsync(RawPeer client)
    {
        for (var i = 0; i < 50; i++)
        {
            if (await IsResetAsync(client))
            {
                return true;
            }
            await Task.Delay(TimeSpan.FromMilliseconds(10), TimeProvider.System);
        }
        return false;
    }

    private static async Task<bool> IsResetAsync(RawPeer client)
    {
        try
        {
            await client.SendAsync("x");
            return false;
        }
        catch (SocketException)
        {
            return true;
        }
    }
}
