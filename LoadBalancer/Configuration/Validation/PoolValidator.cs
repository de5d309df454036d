using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Configuration.Reading;
using LoadBalancer.Http.Messages;
using LoadBalancer.Pools;
using LoadBalancer.Tls;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Checks the options of one pool.</summary>
internal static class PoolValidator
{
    // The methods that may be carried out twice (RFC 9110 section 9.2.2).
    private static readonly string[] IdempotentMethods = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"];

    /// <summary>Requires all that must hold for a pool.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="pool">Its options.</param>
    /// <param name="all">The whole configuration.</param>
    /// <param name="addresses">The addresses that others listen on.</param>
    /// <param name="section">Its section.</param>
    public static void Check(string name, PoolOptions pool, LoadBalancerOptions all, AddressValidator addresses, SectionValidator section)
    {
        var protocol = CheckUsers(name, pool, all, section);
        CheckBackends(pool, protocol, addresses, section);
        CheckBackendsFile(pool, protocol, section);
        CheckDns(pool.Dns, section.Below("Dns"));
        CheckProtocol(pool, protocol, section);
        CheckHashKey(pool, protocol, section);
        CheckHealth(name, pool, protocol, addresses, section);
        section.RequireAtLeast(1, pool.MaxInFlight?.Count, "MaxInFlight", orElse: "null for no limit");
        CheckAttempts(pool, section);
        section.RequireDuration(pool.SlowStart, "SlowStart", isZeroAllowed: true);
        CheckStickySession(pool.StickySession, section.Below("StickySession"));
        CheckTls(pool.Tls, section.Below("Tls"));
    }

    // What is spoken to its backends: the protocol of the listeners that lead to it; without any, the one that fits its backends.
    private static ListenerProtocol CheckUsers(string name, PoolOptions pool, LoadBalancerOptions all, SectionValidator section)
    {
        var users = all.Listeners.Where(entry => entry.Value.PoolNames.Contains(name, StringComparer.OrdinalIgnoreCase)).ToList();
        var protocols = users.Select(entry => entry.Value.Protocol).Distinct().ToList();
        section.Require(protocols.Count <= 1, null, $"is used by {string.Join(" and ", protocols)} listeners; expected a pool for each");
        var names = string.Join(" and ", users.Select(user => $"'{user.Key}'"));
        section.Require(users.Count <= 1 || !IsJoined(protocols[0]), null,
            $"is used by listeners {names}; expected a pool for each, for workers register with one");
        return protocols.Count > 0 ? protocols[0]
            : pool.Backends.Values.Any(backend => backend.Address is { IsTcp: true }) ? ListenerProtocol.Tcp
            : ListenerProtocol.Http;
    }

    private static void CheckBackends(
        PoolOptions pool, ListenerProtocol protocol, AddressValidator addresses, SectionValidator section)
    {
        var (count, most) = (pool.Backends.Count, InFlightCounts.MaxSlots);
        section.Require(count > 0 || pool.BackendsFile is not null || IsJoined(protocol), "Backends",
            "no backend is defined; expected at least one");
        section.Require(count == 0 || !IsJoined(protocol), "Backends",
            $"is for backends that are known beforehand; the workers of a {protocol} listener register themselves");
        section.Require(count <= most, "Backends", $"has {count} backends; expected {most} at the most");
        foreach (var (name, backend) in pool.Backends)
        {
            BackendValidator.Check(backend, pool, protocol, section.Below($"Backends:{name}"));
            var own = backend.Address is { } address ? addresses.FindListener(address) : null;
            section.Require(own is null, $"Backends:{name}:Address",
                $"'{backend.Address}' is {own} of this node; expected the address of another server");
        }
        BackendValidator.CheckHeartbeatAddresses(pool, section);
    }

    private static void CheckBackendsFile(PoolOptions pool, ListenerProtocol protocol, SectionValidator section)
    {
        if (pool.BackendsFile is null)
        {
            return;
        }
        section.Require(!IsJoined(protocol), "BackendsFile",
            $"is for backends that are known beforehand; the workers of a {protocol} listener register themselves");
        section.Require(pool.Heartbeat is null, "BackendsFile",
            "is of no use in a pool with Heartbeat, for the file cannot say where heartbeats come from");
        var error = BackendList.FindError(pool, out var backends);
        section.Require(error is null, "BackendsFile", error ?? "");
        var other = backends.Values.FirstOrDefault(
            backend => !backend.Address.IsUnix && backend.Address.IsTcp != (protocol == ListenerProtocol.Tcp));
        section.Require(other is null, "BackendsFile",
            $"'{pool.BackendsFile}' cannot be used: '{other?.Address}' does not fit a listener for {protocol}");
    }

    private static void CheckDns(DnsOptions dns, SectionValidator section)
    {
        var wrong = dns.Servers.FirstOrDefault(server => !DnsOptions.TryParse(server, out _));
        section.Require(wrong is null, "Server",
            $"'{wrong}' is not a server; expected an IP address with or without a port, for example 10.0.0.2 or [::1]:5353");
        section.RequireDuration(dns.MinInterval, "MinInterval");
        section.Require(dns.MinInterval >= TimeSpan.FromSeconds(1), "MinInterval",
            $"'{dns.MinInterval}' is out of range; expected 00:00:01 or more");
        section.RequireDuration(dns.MaxInterval, "MaxInterval");
        section.Require(dns.MaxInterval >= dns.MinInterval, "MaxInterval",
            $"'{dns.MaxInterval}' is shorter than MinInterval ('{dns.MinInterval}')");
    }

    // A setting that is for another protocol would do nothing, without a word.
    private static void CheckProtocol(PoolOptions pool, ListenerProtocol protocol, SectionValidator section)
    {
        var isHttp = protocol == ListenerProtocol.Http;
        void Only(bool holds, string key, string protocols, bool isUsed) =>
            section.Require(holds || !isUsed, key, $"is for pools of {protocols} listeners; this one's is {protocol}");

        Only(isHttp, "MaxInFlight", "Http", pool.MaxInFlight == InFlightLimit.Auto);
        Only(!IsJoined(protocol), "MaxInFlight", "Http and Tcp", pool.MaxInFlight is { IsAuto: false });
        Only(isHttp, "Hedge", "Http", pool.Hedge is not null);
        Only(isHttp, "StickySession", "Http", pool.StickySession is not null);
        Only(isHttp, "HttpVersion", "Http", pool.HttpVersion != HttpVersion.Version11);
        Only(isHttp, "Tls", "Http", pool.Tls != new BackendTlsOptions());
        Only(isHttp, "HealthCheck:Type", "Http", pool.HealthCheck?.Type is ProbeType.Http or ProbeType.Grpc);
        var isUnix = protocol == ListenerProtocol.Tcp && pool.Backends.Values.All(backend => backend.Address?.IsUnix == true);
        section.Require(!isUnix || pool.HealthCheck is not { Type: null }, "HealthCheck:Type",
            pool.Backends.Count == 0 ? "is missing; expected Tcp, because the configuration has no backend that says what is spoken"
                : "is missing; expected Tcp, because the addresses of the backends, which are Unix sockets, do not say what they speak");
        Only(protocol == ListenerProtocol.Tcp, "SendProxyProtocol", "Tcp", pool.SendProxyProtocol);
        Only(!IsJoined(protocol), "HealthCheck", "Http and Tcp", pool.HealthCheck is not null);
        Only(!IsJoined(protocol), "Heartbeat", "Http and Tcp", pool.Heartbeat is not null);
        Only(!IsJoined(protocol), "PassiveHealth:Outliers", "Http and Tcp", pool.PassiveHealth.Outliers is not null);
        Only(!IsJoined(protocol), "Queue", "Http and Tcp", pool.Queue != new QueueOptions());
    }

    private static void CheckHashKey(PoolOptions pool, ListenerProtocol protocol, SectionValidator section)
    {
        if (pool.HashKey is not { } key)
        {
            return;
        }
        section.Require(RequestHash.IsValid(key), "HashKey",
            $"'{key}' is not valid; expected Client, Header:NAME, Cookie:NAME, Query:NAME or Path");
        section.Require(pool.Policy == PolicyName.Hash, "HashKey",
            $"is for the policy Hash; this pool's Policy is {pool.Policy}; expected Policy Hash, or no HashKey");
        section.Require(key == RequestHash.Client || protocol == ListenerProtocol.Http, "HashKey",
            $"'{key}' is part of a request of an Http listener; this pool's listener is {protocol}; expected Client, or no HashKey");
    }

    // Workers join the pool themselves, by registering or by connecting.
    private static bool IsJoined(ListenerProtocol protocol) => protocol is ListenerProtocol.Tasks or ListenerProtocol.Broker;

    private static void CheckHealth(
        string name, PoolOptions pool, ListenerProtocol protocol, AddressValidator addresses, SectionValidator section)
    {
        if (pool.HealthCheck is { } check)
        {
            var atUnixSocket = pool.Backends.FirstOrDefault(backend => backend.Value.Address?.IsUnix == true).Key;
            HealthCheckValidator.Check(check, protocol == ListenerProtocol.Http, atUnixSocket, section.Below("HealthCheck"));
        }
        if (pool.Heartbeat is { } heartbeat)
        {
            const int Least = HeartbeatOptions.LeastKeyLength;
            addresses.Check(section, "Heartbeat:Address", $"heartbeats of pool '{name}'", heartbeat.Address, "udp://127.0.0.1:5000", "udp");
            section.RequireDuration(heartbeat.Timeout, "Heartbeat:Timeout");
            section.Require(heartbeat.Key is null || HeartbeatOptions.KeyOf(heartbeat.Key) is { Length: >= Least }, "Heartbeat:Key",
                $"is not valid; expected base64 of {Least} bytes or more, as openssl rand -base64 32 makes it"); // A secret: not shown.
        }
        var passive = pool.PassiveHealth;
        section.RequireAtLeast(1, passive.Failures, "PassiveHealth:Failures");
        section.Require(passive.FailureShare is > 0 and <= 1, "PassiveHealth:FailureShare",
            $"'{passive.FailureShare}' is out of range; expected more than 0, to 1");
        section.RequireDuration(passive.Window, "PassiveHealth:Window");
        section.RequireDuration(passive.Ejection, "PassiveHealth:Ejection");
        section.RequireDuration(passive.LongestEjection, "PassiveHealth:LongestEjection");
        if (passive.Outliers is { } outliers)
        {
            CheckOutliers(outliers, section.Below("PassiveHealth:Outliers"));
        }
    }

    private static void CheckOutliers(OutlierOptions outliers, SectionValidator section)
    {
        section.Require(outliers.StandardDeviations is > 0 and < double.PositiveInfinity, "StandardDeviations",
            $"'{outliers.StandardDeviations}' is out of range; expected more than 0");
        section.RequireAtLeast(2, outliers.MinHosts, "MinHosts");
        section.RequireAtLeast(1, outliers.MinRequests, "MinRequests");
        section.RequireDuration(outliers.Interval, "Interval");
        section.Require(outliers.Interval >= TimeSpan.FromSeconds(1), "Interval",
            $"'{outliers.Interval}' is out of range; expected 00:00:01 or more");
        section.Require(outliers.MaxShare is > 0 and <= 1, "MaxShare",
            $"'{outliers.MaxShare}' is out of range; expected more than 0, to 1");
    }

    private static void CheckAttempts(PoolOptions pool, SectionValidator section)
    {
        var (retry, queue) = (pool.Retry, pool.Queue);
        section.Require(retry.Attempts >= 1, "Retry:Attempts", $"'{retry.Attempts}' is out of range; expected 1 (no retry) or more");
        section.Require(retry.Budget is >= 0 and <= 1, "Retry:Budget", $"'{retry.Budget}' is out of range; expected 0 to 1");
        section.RequireDuration(pool.Timeouts.Connect, "Timeouts:Connect");
        section.RequireDuration(pool.Timeouts.Response, "Timeouts:Response");
        section.RequireDuration(pool.Timeouts.Idle, "Timeouts:Idle");
        section.Require(queue.Limit >= 0, "Queue:Limit", $"'{queue.Limit}' is out of range; expected 0 (no queue) or more");
        var canWait = pool.Backends.Count == 0 || pool.HealthCheck?.Type == ProbeType.Agent // which may set a limit
            || pool.Backends.Values.Any(backend => backend.LimitIn(pool) != InFlightLimit.None);
        section.Require(queue.Limit <= 0 || canWait, "Queue:Limit",
            $"is {queue.Limit}, but no backend has a MaxInFlight, so nobody would ever wait; "
            + "expected MaxInFlight at one backend or more, or no Queue");
        section.RequireDuration(queue.Timeout, "Queue:Timeout");
        if (pool.Hedge is { } hedge)
        {
            CheckHedge(hedge, pool, section);
        }
    }

    private static void CheckHedge(HedgeOptions hedge, PoolOptions pool, SectionValidator section)
    {
        var (delay, methods, expected) = (hedge.After.Delay, hedge.Methods, string.Join(", ", IdempotentMethods));
        section.Require(delay is null || delay > TimeSpan.Zero, "Hedge:After", $"'{delay}' is out of range; expected more than 00:00:00");
        section.Require(methods.Count > 0, "Hedge:Methods", $"is empty, so nothing would ever be hedged; expected some of {expected}");
        var other = methods.FirstOrDefault(method => !IdempotentMethods.Contains(method));
        section.Require(other is null, "Hedge:Methods", $"'{other}' must not be carried out twice; expected some of {expected}");
        section.Require(delay is null || delay < pool.Timeouts.Response, "Hedge:After",
            $"'{delay}' is not before Timeouts:Response ('{pool.Timeouts.Response}'), so nothing would ever be hedged");
        section.Require(pool.Retry.Budget > 0, "Hedge",
            "takes its attempts out of Retry:Budget, which is 0; expected a budget above 0, or no Hedge");
    }

    private static void CheckStickySession(StickySessionOptions? sticky, SectionValidator section)
    {
        section.Require(sticky is null || RequestRules.IsFieldName(sticky.Cookie), "Cookie",
            $"'{sticky?.Cookie}' is not a name for a cookie; expected letters, digits, - and _");
        section.Require(sticky?.KeyFile is null or { Length: > 0 }, "KeyFile", "is empty; expected a file");
        var error = sticky?.KeyFile is { Length: > 0 } file ? FindKeyError(file) : null;
        section.Require(error is null, "KeyFile", $"'{sticky?.KeyFile}' cannot be used: {error}");
    }

    // A file that is not there is made at the start.
    private static string? FindKeyError(string file)
    {
        const int Least = HeartbeatOptions.LeastKeyLength;
        try
        {
            return Directory.Exists(file) ? "it is a directory"
                : !File.Exists(file) || HeartbeatOptions.KeyOf(File.ReadAllText(file).Trim()) is { Length: >= Least } ? null
                : $"it has no key; expected base64 of {Least} bytes or more, as openssl rand -base64 32 makes it";
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return e.Message;
        }
    }

    private static void CheckTls(BackendTlsOptions tls, SectionValidator section)
    {
        var error = tls.AuthorityFile is null ? null : PemCertificate.FindAuthorityError(tls.AuthorityFile);
        section.Require(error is null, "AuthorityFile", $"'{tls.AuthorityFile}' cannot be used: {error}");
        section.Require(tls.Verify || tls.AuthorityFile is null, "Verify",
            "is false, so AuthorityFile would never be looked at; expected one or the other");
        section.Require(tls.ServerName is null || Uri.CheckHostName(tls.ServerName) == UriHostNameType.Dns, "ServerName",
            $"'{tls.ServerName}' is not a host name; expected for example shop.example.com");
    }
}
