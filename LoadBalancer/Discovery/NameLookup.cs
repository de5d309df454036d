using System.Net;
using System.Net.NetworkInformation;
using System.Net.Sockets;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;

namespace LoadBalancer.Discovery;

/// <summary>Looks up names: once, each time that it is asked.</summary>
/// <param name="options">Whom to ask.</param>
/// <param name="time">The clock of time-outs.</param>
internal sealed class NameLookup(DnsOptions options, TimeProvider time)
{
    private const int Rounds = 2; // A datagram may be lost.
    private const int LongestChain = 16; // of CNAME records
    private const int TargetsAtOnce = 16;

    // Each takes a thread while it waits.
    private static readonly SemaphoreSlim SystemLookups = new(16);

    private readonly List<IPEndPoint> _servers =
        [.. options.Servers.Select(text => DnsOptions.TryParse(text, out var server) ? server : null).OfType<IPEndPoint>()];

    /// <summary>The addresses of a host: A and AAAA records, or what the system's resolver says.</summary>
    /// <param name="host">The name.</param>
    /// <param name="last">The last answer: if one of the two questions gets no answer now, its addresses stay.</param>
    /// <param name="cancellationToken">Cancelled when the answer is no longer wanted.</param>
    /// <exception cref="LookupException">There is no address, or it cannot be found out.</exception>
    public async Task<LookupAnswer> FindHostAsync(string host, LookupAnswer? last, CancellationToken cancellationToken)
    {
        if (_servers.Count == 0)
        {
            return await AskSystemAsync(host, cancellationToken);
        }
        var name = NameOf(host);
        var asked = new[] { DnsRecordType.A, DnsRecordType.Aaaa }
            .Select(type => TryAsync(() => FindAddressesAsync(_servers, name, type, cancellationToken))).ToArray();
        var results = await Task.WhenAll(asked);
        if (results.Any(result => result.Found is { Count: > 0 }))
        {
            var found = new List<DnsRecord>();
            foreach (var (result, family) in results.Zip([AddressFamily.InterNetwork, AddressFamily.InterNetworkV6]))
            {
                found.AddRange(result.Found ?? []);
                if (result.Error is { Result: not LookupResult.Nxdomain })
                {
                    found.AddRange((last?.Servers ?? []).Where(server => server.Address.AddressFamily == family)
                        .Select(server => new DnsRecord(name, default, uint.MaxValue) { Address = server.Address }));
                }
            }
            var servers = found.Select(record => new FoundServer(record.Address!.Unmap(), host)).DistinctBy(server => server.Address);
            return new LookupAnswer([.. servers], TtlOf(found));
        }
        throw results.Select(result => result.Error).OfType<LookupException>().FirstOrDefault()
            ?? new LookupException(LookupResult.Empty, "the name has no address");
    }

    /// <summary>The servers of a service, by its SRV records. The target <c>.</c> says that there is none (RFC 2782).</summary>
    /// <param name="service">The name, for example <c>_http._tcp.web.internal</c>.</param>
    /// <param name="last">The last answer: the addresses of a target that cannot be looked up now stay.</param>
    /// <param name="cancellationToken">Cancelled when the answer is no longer wanted.</param>
    /// <exception cref="LookupException">There is no such record, or it cannot be found out.</exception>
    public async Task<LookupAnswer> FindServiceAsync(string service, LookupAnswer? last, CancellationToken cancellationToken)
    {
        var name = NameOf(service);
        var servers = _servers.Count > 0 ? _servers : SystemServers();
        var response = await AskAsync(servers, name, DnsRecordType.Srv, cancellationToken);
        var records = Chain(response.Answers, name, DnsRecordType.Srv, out var chain);
        records.RemoveAll(record => record is { Port: 0, Target.Length: > 0 }); // Nobody can be there.
        if (records.Count == 0)
        {
            throw new LookupException(LookupResult.Empty, "the name has no SRV record with a port");
        }
        var targets = records.Where(record => record.Target.Length > 0).Select(record => record.Target)
            .Distinct(StringComparer.OrdinalIgnoreCase).ToList();
        using var gate = new SemaphoreSlim(TargetsAtOnce);
        async Task<(string Target, LookupAnswer? Answer, LookupException? Error)> FindAsync(string target)
        {
            if (!DnsMessage.IsHostName(target))
            {
                return (target, null, new LookupException(LookupResult.Malformed, "the target of an SRV record is not the name of a host"));
            }
            var given = response.Additional.Where(record => record.Address is not null
                && record.Owner.Equals(target, StringComparison.OrdinalIgnoreCase)).ToList();
            if (given.Count > 0)
            {
                var own = given.Select(record => new FoundServer(record.Address!.Unmap(), target));
                return (target, new LookupAnswer([.. own], TtlOf(given)), null);
            }
            var before = (last?.Servers ?? []).Where(server => server.Host.Equals(target, StringComparison.OrdinalIgnoreCase)).ToList();
            await gate.WaitAsync(cancellationToken);
            try
            {
                return (target, await FindHostAsync(target, new LookupAnswer(before, null), cancellationToken), null);
            }
            catch (LookupException e)
            {
                var isGone = before.Count == 0 || e.Result is LookupResult.Nxdomain or LookupResult.Empty;
                return (target, isGone ? null : new LookupAnswer(before, null), e);
            }
            finally
            {
                gate.Release();
            }
        }
        var found = await Task.WhenAll(targets.Select(FindAsync));
        if (targets.Count > 0 && found.All(target => target.Answer is null))
        {
            var (target, _, error) = found[0];
            throw new LookupException(error!.Result, DnsMessage.IsHostName(target)
                ? $"the server '{target}' has no address: {error.Message}" : error.Message);
        }
        var byTarget = found.Where(target => target.Answer is not null)
            .ToDictionary(target => target.Target, target => target.Answer!, StringComparer.OrdinalIgnoreCase);
        var all = from record in records.OrderBy(record => record.Priority).ThenBy(record => record.Target, StringComparer.Ordinal)
                  where byTarget.ContainsKey(record.Target)
                  from server in byTarget[record.Target].Servers
                  select new FoundServer(server.Address, record.Target, record.Port, record.Priority, record.Weight);
        var ttl = TtlOf([.. records, .. chain]);
        return new LookupAnswer(
            [.. all.DistinctBy(server => (server.Address, server.Port))], byTarget.Values.Select(answer => answer.Ttl).Append(ttl).Min());
    }

    private static string NameOf(string host)
    {
        try
        {
            return DnsMessage.NameOf(host);
        }
        catch (FormatException e)
        {
            throw new LookupException(LookupResult.Nxdomain, e.Message);
        }
    }

    // Those that programs on this machine ask. .NET reads them from /etc/resolv.conf, where there is one.
    private static List<IPEndPoint> SystemServers()
    {
        try
        {
            var servers = NetworkInterface.GetAllNetworkInterfaces().SelectMany(each => each.GetIPProperties().DnsAddresses)
                .Distinct().Select(address => new IPEndPoint(address, DnsOptions.DefaultPort)).ToList();
            return servers.Count > 0 ? servers : throw new LookupException(
                LookupResult.Error, "the system names no DNS server; expected one in Dns:Server");
        }
        catch (NetworkInformationException e)
        {
            throw new LookupException(LookupResult.Error, $"the system does not say which DNS servers it has: {e.Message}");
        }
    }

    private static TimeSpan? TtlOf(List<DnsRecord> records) =>
        records.Count == 0 ? null : TimeSpan.FromSeconds(records.Min(record => record.Ttl));

    private static async Task<(List<DnsRecord>? Found, LookupException? Error)> TryAsync(Func<Task<List<DnsRecord>>> lookUpAsync)
    {
        try
        {
            return (await lookUpAsync(), null);
        }
        catch (LookupException e)
        {
            return (null, e);
        }
    }

    private async Task<List<DnsRecord>> FindAddressesAsync(
        List<IPEndPoint> servers, string name, DnsRecordType type, CancellationToken cancellationToken)
    {
        var response = await AskAsync(servers, name, type, cancellationToken);
        var records = Chain(response.Answers, name, type, out var chain);
        var ttl = TtlOf([.. records, .. chain])?.TotalSeconds ?? 0;
        return [.. records.Select(record => record with { Ttl = (uint)ttl })];
    }

    // The records of a name, or of the name that it stands for.
    private static List<DnsRecord> Chain(IReadOnlyList<DnsRecord> answers, string name, DnsRecordType type, out List<DnsRecord> chain)
    {
        chain = [];
        while (chain.Count < LongestChain && answers.FirstOrDefault(record => IsOf(record, name, DnsRecordType.Cname)) is { } alias)
        {
            chain.Add(alias);
            name = alias.Target;
        }
        return [.. answers.Where(record => IsOf(record, name, type))];

        static bool IsOf(DnsRecord record, string name, DnsRecordType type) =>
            record.Type == type && record.Owner.Equals(name, StringComparison.OrdinalIgnoreCase);
    }

    // The servers in turn: the next is asked where one gives no answer.
    private async Task<DnsResponse> AskAsync(
        List<IPEndPoint> servers, string name, DnsRecordType type, CancellationToken cancellationToken)
    {
        LookupException? failure = null;
        for (var round = 0; round < Rounds && failure is null or { Result: LookupResult.Timeout }; round++)
        {
            foreach (var server in servers)
            {
                try
                {
                    var response = await DnsServer.AskAsync(server, name, type, time, cancellationToken);
                    if (response.Code == DnsResponse.NoError)
                    {
                        return response;
                    }
                    failure = response.Code switch
                    {
                        DnsResponse.NoSuchName => throw new LookupException(
                            LookupResult.Nxdomain, $"{server} answers that there is no such name (NXDOMAIN)"),
                        DnsResponse.ServerFailure => new LookupException(
                            LookupResult.Servfail, $"{server} answers that it cannot find out (SERVFAIL)"),
                        DnsResponse.Refused => new LookupException(LookupResult.Refused, $"{server} refuses to answer (REFUSED)"),
                        _ => new LookupException(LookupResult.Error, $"{server} answers with error {response.Code}"),
                    };
                }
                catch (LookupException e) when (e.Result != LookupResult.Nxdomain)
                {
                    failure = e;
                }
            }
        }
        throw failure!;
    }

    private static async Task<LookupAnswer> AskSystemAsync(string host, CancellationToken cancellationToken)
    {
        await SystemLookups.WaitAsync(cancellationToken);
        try
        {
            var addresses = await Dns.GetHostAddressesAsync(host, cancellationToken);
            return addresses.Length > 0
                ? new LookupAnswer([.. addresses.Select(MappedAddress.Unmap).Distinct().Select(ip => new FoundServer(ip, host))], null)
                : throw new LookupException(LookupResult.Empty, "the name has no address");
        }
        catch (Exception e) when (e is SocketException or ArgumentException)
        {
            var result = (e as SocketException)?.SocketErrorCode switch
            {
                SocketError.HostNotFound => LookupResult.Nxdomain,
                SocketError.NoData => LookupResult.Empty,
                SocketError.TryAgain => LookupResult.Servfail,
                _ => LookupResult.Error,
            };
            throw new LookupException(result, $"the system's resolver: {e.Message}");
        }
        finally
        {
            SystemLookups.Release();
        }
    }
}
