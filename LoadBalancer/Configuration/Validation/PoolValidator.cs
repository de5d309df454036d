using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Tls;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Checks the options of one pool.</summary>
internal static class PoolValidator
{
    // What may be carried out twice (RFC 9110 section 9.2.2).
    private static readonly string[] IdempotentMethods = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"];

    /// <summary>Requires all that must hold for a pool.</summary>
    public static void Check(string path, string name, PoolOptions pool, LoadBalancerOptions all, AddressValidator addresses, Requirement require)
    {
        void Require(bool condition, string key, string message) => require(condition, $"{path}:{key}", message);
        void Duration(TimeSpan value, string key, bool zeroAllowed = false) => ConfigurationValidator.RequireDuration(require, value, $"{path}:{key}", zeroAllowed);

        var protocol = CheckUsers();
        var isJoined = protocol is ListenerProtocol.Tasks or ListenerProtocol.Broker; // by workers, by themselves
        Require(pool.Backends.Count > 0 || isJoined, "Backends", "no backend is defined; expected at least one");
        Require(pool.Backends.Count == 0 || !isJoined, "Backends", $"is for backends that are known beforehand; the workers of a {protocol} listener register themselves");
        Require(pool.Backends.Count <= InFlightCounts.MostPlaces, "Backends", $"has {pool.Backends.Count} backends; expected {InFlightCounts.MostPlaces} at the most");
        foreach (var (backendName, backend) in pool.Backends)
        {
            CheckBackend($"Backends:{backendName}", backend);
        }
        CheckHeartbeatAddresses();
        CheckProtocol();
        CheckHealth();
        CheckAttempts();
        Duration(pool.SlowStart, "SlowStart", zeroAllowed: true);
        if (pool.StickySession is { } sticky)
        {
            Require(sticky.Cookie.Length > 0 && sticky.Cookie.All(c => char.IsAsciiLetterOrDigit(c) || "!#$%&'*+-.^_`|~".Contains(c, StringComparison.Ordinal)), "StickySession:Cookie",
                $"'{sticky.Cookie}' is not a name for a cookie; expected letters, digits, - and _");
            Require(sticky.KeyFile is null or { Length: > 0 }, "StickySession:KeyFile", "is empty; expected a file");
        }
        var fault = pool.Tls.AuthorityFile is null ? null : PemCertificate.AuthorityFault(pool.Tls.AuthorityFile);
        Require(fault is null, "Tls:AuthorityFile", $"'{pool.Tls.AuthorityFile}' cannot be used: {fault}");
        Require(pool.Tls.Verify || pool.Tls.AuthorityFile is null, "Tls:Verify", "is false, so AuthorityFile would never be looked at; expected one or the other");
        Require(pool.Tls.ServerName is null || Uri.CheckHostName(pool.Tls.ServerName) == UriHostNameType.Dns, "Tls:ServerName",
            $"'{pool.Tls.ServerName}' is not a host name; expected for example shop.example.com");

        // What speaks to it: the listeners that lead to it; else, whatever its backends speak.
        ListenerProtocol CheckUsers()
        {
            var users = all.Listeners.Where(entry => IsPool(entry.Value.Pool) || entry.Value.Routes.Any(route => IsPool(route.Pool))).ToList();
            var protocols = users.Select(entry => entry.Value.Protocol).Distinct().ToList();
            require(protocols.Count <= 1, path, $"is used by {string.Join(" and ", protocols)} listeners; expected a pool for each");
            require(users.Count <= 1 || protocols[0] is ListenerProtocol.Http or ListenerProtocol.Tcp, path,
                $"is used by listeners {string.Join(" and ", users.Select(user => $"'{user.Key}'"))}; expected a pool for each, for workers register with one");
            return protocols.Count > 0 ? protocols[0]
                : pool.Backends.Values.Any(backend => backend.Address?.Scheme == "tcp") ? ListenerProtocol.Tcp
                : ListenerProtocol.Http;
        }

        bool IsPool(string? other) => name.Equals(other, StringComparison.OrdinalIgnoreCase);

        void CheckBackend(string key, BackendOptions backend)
        {
            var (example, schemes) = protocol == ListenerProtocol.Http ? ("http://127.0.0.1:3000", "http://host:port or https://host:port") : ("tcp://127.0.0.1:7000", "tcp://host:port");
            Require(backend.Address is not null, $"{key}:Address", $"is missing; expected for example {example}");
            if (backend.Address is { } address)
            {
                Require(protocol == ListenerProtocol.Http ? address.Scheme is "http" or "https" : address.Scheme == "tcp", $"{key}:Address",
                    $"'{address}' does not fit {(protocol == ListenerProtocol.Http ? "an Http" : $"a {protocol}")} listener; expected {schemes}");
                Require(address.Port != EndpointAddress.NoPort, $"{key}:Address", $"'{address}' has no port; expected {address.Scheme}://host:port");
                Require(address.Port != 0, $"{key}:Address", $"'{address}' has port 0; expected 1 to 65535");
                Require(address.Host != "*", $"{key}:Address", $"'{address}' is no single server; expected a host name or an IP address");
            }
            Require(backend.Weight is >= 0 and <= 1000, $"{key}:Weight", $"'{backend.Weight}' is out of range; expected 0 to 1000");
            Require(backend.MaxInFlight is null or >= 1, $"{key}:MaxInFlight", $"'{backend.MaxInFlight}' is out of range; expected 1 or more, or null for no limit");
            Require(pool.Heartbeat is null || backend.HeartbeatAddress is not null, $"{key}:HeartbeatAddress", "is missing; expected where its heartbeats come from, for example udp://127.0.0.1:7001");
            Require(pool.Heartbeat is not null || backend.HeartbeatAddress is null, $"{key}:HeartbeatAddress", "is of no use in a pool without Heartbeat");
            Require(backend.HeartbeatAddress is not { } source || source is { Scheme: "udp", Port: > 0 } && IPAddress.TryParse(source.Host, out _), $"{key}:HeartbeatAddress",
                $"'{backend.HeartbeatAddress}' is not where datagrams can come from; expected udp:// with an IP address and a port");
        }

        // Whose the datagrams from there are could not be told.
        void CheckHeartbeatAddresses()
        {
            foreach (var same in pool.Backends.Where(entry => entry.Value.HeartbeatAddress is not null).GroupBy(entry => Source(entry.Value.HeartbeatAddress!)))
            {
                foreach (var (backendName, backend) in same.Skip(1))
                {
                    Require(false, $"Backends:{backendName}:HeartbeatAddress", $"'{backend.HeartbeatAddress}' is that of backend '{same.First().Key}' already");
                }
            }
        }

        // The same in both families, as a socket for both would name it.
        static object Source(EndpointAddress address) =>
            IPAddress.TryParse(address.Host, out var ip) ? (ip.Equals(IPAddress.Any) ? IPAddress.IPv6Any : ip.MapToIPv6(), address.Port) : address;

        // What only makes sense for another protocol would do nothing, silently.
        void CheckProtocol()
        {
            var isHttp = protocol == ListenerProtocol.Http;
            void Only(bool holds, string key, string protocols, bool isUsed) => Require(holds || !isUsed, key, $"is for pools of {protocols} listeners; this one's is {protocol}");
            Only(isHttp, "Hedge", "Http", pool.Hedge is not null);
            Only(isHttp, "StickySession", "Http", pool.StickySession is not null);
            Only(isHttp, "HttpVersion", "Http", pool.HttpVersion != HttpVersion.Version11);
            Only(isHttp, "Tls", "Http", pool.Tls != new BackendTlsOptions());
            Only(isHttp, "HealthCheck:Type", "Http", pool.HealthCheck?.Type == ProbeType.Http);
            Only(protocol == ListenerProtocol.Tcp, "SendProxyProtocol", "Tcp", pool.SendProxyProtocol);
            Only(!isJoined, "HealthCheck", "Http and Tcp", pool.HealthCheck is not null);
            Only(!isJoined, "Heartbeat", "Http and Tcp", pool.Heartbeat is not null);
            Only(!isJoined, "Queue", "Http and Tcp", pool.Queue != new QueueOptions());
        }

        void CheckHealth()
        {
            if (pool.HealthCheck is { } check)
            {
                Require(check.Path.StartsWith('/') && !check.Path.Any(c => c is <= ' ' or > '~' or '#'), "HealthCheck:Path", $"'{check.Path}' is not a path; expected for example /health");
                Duration(check.Interval, "HealthCheck:Interval");
                Duration(check.DownInterval, "HealthCheck:DownInterval");
                Duration(check.Timeout, "HealthCheck:Timeout");
                Require(check.Rise >= 1, "HealthCheck:Rise", $"'{check.Rise}' is out of range; expected 1 or more");
                Require(check.Fall >= 1, "HealthCheck:Fall", $"'{check.Fall}' is out of range; expected 1 or more");
            }
            if (pool.Heartbeat is { } heartbeat)
            {
                addresses.Check($"{path}:Heartbeat:Address", $"heartbeats of pool '{name}'", heartbeat.Address, "udp://127.0.0.1:5000", "udp");
                Duration(heartbeat.Timeout, "Heartbeat:Timeout");
                Require(heartbeat.Key is null || HeartbeatOptions.KeyOf(heartbeat.Key) is { Length: >= HeartbeatOptions.LeastKeyLength }, "Heartbeat:Key",
                    $"is not valid; expected base64 of {HeartbeatOptions.LeastKeyLength} bytes or more, as openssl rand -base64 32 makes it"); // a secret: not shown
            }
            var passive = pool.PassiveHealth;
            Require(passive.Failures >= 1, "PassiveHealth:Failures", $"'{passive.Failures}' is out of range; expected 1 or more");
            Require(passive.FailureShare is > 0 and <= 1, "PassiveHealth:FailureShare", $"'{passive.FailureShare}' is out of range; expected more than 0, to 1");
            Duration(passive.Window, "PassiveHealth:Window");
            Duration(passive.Ejection, "PassiveHealth:Ejection");
            Duration(passive.LongestEjection, "PassiveHealth:LongestEjection");
        }

        void CheckAttempts()
        {
            Require(pool.Retry.Attempts >= 1, "Retry:Attempts", $"'{pool.Retry.Attempts}' is out of range; expected 1 (no retry) or more");
            Require(pool.Retry.Budget is >= 0 and <= 1, "Retry:Budget", $"'{pool.Retry.Budget}' is out of range; expected 0 to 1");
            Duration(pool.Timeouts.Connect, "Timeouts:Connect");
            Duration(pool.Timeouts.Response, "Timeouts:Response");
            Duration(pool.Timeouts.Idle, "Timeouts:Idle");
            Require(pool.Queue.Limit >= 0, "Queue:Limit", $"'{pool.Queue.Limit}' is out of range; expected 0 (no queue) or more");
            Require(pool.Queue.Limit <= 0 || pool.Backends.Count == 0 || pool.Backends.Values.Any(backend => backend.MaxInFlight is not null), "Queue:Limit",
                $"is {pool.Queue.Limit}, but no backend has a MaxInFlight, so nobody would ever wait; expected MaxInFlight at one backend or more, or no Queue");
            Duration(pool.Queue.Timeout, "Queue:Timeout");
            if (pool.Hedge is { } hedge)
            {
                Require(hedge.After.Delay is not { } delay || delay > TimeSpan.Zero, "Hedge:After", $"'{hedge.After.Delay}' is out of range; expected more than 00:00:00");
                Require(hedge.Methods.Count > 0, "Hedge:Methods", $"is empty, so nothing would ever be hedged; expected some of {string.Join(", ", IdempotentMethods)}");
                var other = hedge.Methods.FirstOrDefault(method => !IdempotentMethods.Contains(method));
                Require(other is null, "Hedge:Methods", $"'{other}' must not be carried out twice; expected some of {string.Join(", ", IdempotentMethods)}");
                Require(hedge.After.Delay is not { } late || late < pool.Timeouts.Response, "Hedge:After", $"'{hedge.After.Delay}' is not before Timeouts:Response ('{pool.Timeouts.Response}'), so nothing would ever be hedged");
                Require(pool.Retry.Budget > 0, "Hedge", "takes its attempts out of Retry:Budget, which is 0; expected a budget above 0, or no Hedge");
            }
        }
    }
}
