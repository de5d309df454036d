using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.RegularExpressions;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// An etcd of three members on this machine, of which one can be cut off from the two others: they reach each other through relays, which
/// know from the first request on a connection who has opened it.
/// </summary>
internal sealed partial class EtcdMembers : IAsyncDisposable
{
    private readonly List<RawServer> _relays = [];
    private readonly ConcurrentDictionary<Link, bool> _links = new();
    private readonly Dictionary<string, int> _numbers = []; // by the identifiers that etcd gives its members
    private volatile Cut? _cut;

    private EtcdMembers()
    {
        var ports = Enumerable.Range(0, 3).Select(_ => ReservedPorts.Next()).ToList();
        for (var i = 0; i < ports.Count; i++)
        {
            var (number, port) = (i, ports[i]);
            _relays.Add(new RawServer((peer, _) => RelayAsync(peer.Stream, number, port)));
        }
        var members = string.Join(",", _relays.Select((relay, i) => $"m{i}=http://127.0.0.1:{relay.Port}"));
        Servers = [.. _relays.Select((relay, i) =>
            new EtcdServer($"m{i}", $"http://127.0.0.1:{ports[i]}", $"http://127.0.0.1:{relay.Port}", members))];
    }

    /// <summary>The members.</summary>
    public IReadOnlyList<EtcdServer> Servers { get; }

    /// <summary>Starts them.</summary>
    public static async Task<EtcdMembers> StartAsync()
    {
        EtcdServer.RequireProgram();
        var members = new EtcdMembers();
        members.Servers.ToList().ForEach(server => server.Launch());
        foreach (var server in members.Servers)
        {
            await server.HealthyAsync();
        }
        foreach (var member in (await members.Servers[0].PostAsync("/v3/cluster/member/list", new { }))["members"]!.AsArray())
        {
            var name = $"{member!["name"]}";
            members._numbers[$"{ulong.Parse($"{member["ID"]}", null):x}"] = name[1] - '0';
        }
        return members;
    }

    /// <summary>The number of the member that leads.</summary>
    public async Task<int> LeaderAsync()
    {
        var status = await Servers[0].PostAsync("/v3/maintenance/status", new { });
        return _numbers[$"{ulong.Parse($"{status["leader"]}", null):x}"];
    }

    /// <summary>Cuts a member off from the two others. No connection ends, and nothing arrives any more.</summary>
    public void CutOff(int number) => _cut = new Cut(number);

    /// <summary>Connects it again; what was on its way is lost.</summary>
    public void Heal()
    {
        _cut = null;
        foreach (var link in _links.Keys.Where(link => link.IsBroken))
        {
            link.Dispose();
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var server in Servers)
        {
            await server.DisposeAsync();
        }
        foreach (var relay in _relays)
        {
            await relay.DisposeAsync();
        }
    }

    private async Task RelayAsync(Stream front, int to, int port)
    {
        using var back = new TcpClient();
        try
        {
            var first = new byte[16 * 1024];
            var length = await front.ReadAsync(first);
            var from = From().Match(Encoding.Latin1.GetString(first, 0, length)) is { Success: true } match
                ? _numbers.GetValueOrDefault(match.Groups[1].Value, -1) : -1;
            await back.ConnectAsync(IPAddress.Loopback, port);
            using var link = new Link(from, to, front, back.GetStream());
            _links[link] = true;
            await link.PassAsync(link.Back, first.AsMemory(0, length), _cut);
            await Task.WhenAny(CopyAsync(link, link.Front, link.Back), CopyAsync(link, link.Back, link.Front));
            _links.TryRemove(link, out _);
        }
        catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException)
        {
            // It has ended.
        }
    }

    private async Task CopyAsync(Link link, Stream from, Stream to)
    {
        var buffer = new byte[64 * 1024];
        try
        {
            while (await from.ReadAsync(buffer) is > 0 and var count)
            {
                await link.PassAsync(to, buffer.AsMemory(0, count), _cut);
            }
        }
        catch (Exception e) when (e is IOException or ObjectDisposedException)
        {
            // It has ended.
        }
    }

    [GeneratedRegex("X-Server-From: ([0-9a-f]+)", RegexOptions.IgnoreCase)]
    private static partial Regex From();

    private sealed record Cut(int Member);

    private sealed class Link(int from, int to, Stream front, Stream back) : IDisposable
    {
        private volatile bool _isBroken;

        public bool IsBroken => _isBroken;

        public Stream Front => front;

        public Stream Back => back;

        public async Task PassAsync(Stream stream, ReadOnlyMemory<byte> bytes, Cut? cut)
        {
            _isBroken |= cut is not null && (cut.Member == from || cut.Member == to);
            if (!_isBroken)
            {
                await stream.WriteAsync(bytes);
            }
        }

        public void Dispose()
        {
            front.Dispose();
            back.Dispose();
        }
    }
}
