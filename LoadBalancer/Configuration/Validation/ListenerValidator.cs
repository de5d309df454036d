using System.Net;
using System.Text.RegularExpressions;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Tls;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Checks the options of one listener.</summary>
internal static partial class ListenerValidator
{
    /// <summary>Requires all that must hold for a listener.</summary>
    public static void Check(string name, ListenerOptions listener, LoadBalancerOptions all, AddressValidator addresses, Requirement require)
    {
        var (path, user) = ($"Listeners:{name}", $"listener '{name}'");
        void Require(bool condition, string key, string message) => require(condition, $"{path}:{key}", message);
        void Duration(TimeSpan value, string key) => ConfigurationValidator.RequireDuration(require, value, $"{path}:{key}");
        void AtLeast(long least, long? value, string key, string unless = "") => Require(value is null || value >= least, key, $"'{value}' is out of range; expected {least} or more{unless}");

        foreach (var (setting, protocols) in listener.SettingsOfOthers())
        {
            Require(false, setting, $"is for {protocols} listeners; this one's Protocol is {listener.Protocol}");
        }
        CheckPoolName("Pool", listener.Pool);
        AtLeast(1, listener.MaxConnections, "MaxConnections", ", or null for no limit");
        switch (listener.Protocol)
        {
            case ListenerProtocol.Http:
                CheckHttp();
                break;
            case ListenerProtocol.Tcp:
                CheckTcp();
                break;
            case ListenerProtocol.Tasks:
                CheckTasks();
                break;
            case ListenerProtocol.Broker:
                CheckBroker();
                break;
        }

        void CheckHttp()
        {
            addresses.Check($"{path}:Address", user, listener.Address, "http://127.0.0.1:8080", "http", "https");
            var isTls = listener.Address?.Scheme == "https";
            Require(!isTls || listener.Certificates.Count > 0, "Certificates", "is missing; an https listener needs at least one { \"File\": …, \"KeyFile\": … }");
            Require(isTls || listener.Certificates.Count == 0 || listener.Address is null, "Certificates", $"is of no use for '{listener.Address}'; expected an Address with https://");
            CheckCertificates();
            Require(!isTls || !listener.RedirectToHttps, "RedirectToHttps", "is for plain listeners; this one is https already");
            Require(!isTls || listener.HttpVersion == HttpVersion.Version11, "HttpVersion", "is for plain listeners; an https listener negotiates it");
            Require(listener.Hsts is null || isTls, "Hsts", "is for https listeners; browsers ignore it from others (RFC 6797 section 8.1)");
            Require(listener.Hsts is null || Hsts().IsMatch(listener.Hsts), "Hsts", $"'{listener.Hsts}' is not valid; expected for example max-age=31536000; includeSubDomains");
            foreach (var (i, route) in listener.Routes.Index())
            {
                CheckPoolName($"Routes:{i}:Pool", route.Pool);
                Require(route.Path is null || route.Path.StartsWith('/'), $"Routes:{i}:Path", $"'{route.Path}' is not a path; expected for example /api");
                Require(route.Host is null || Uri.CheckHostName(route.Host.StartsWith("*.", StringComparison.Ordinal) ? route.Host[2..] : route.Host.Trim('[', ']')) != UriHostNameType.Unknown,
                    $"Routes:{i}:Host", $"'{route.Host}' is not a host name; expected for example shop.example.com or *.example.com");
            }
            AtLeast(0, listener.MaxRequestBodySize, "MaxRequestBodySize", ", or null for no limit");
            Duration(listener.RequestHeadersTimeout, "RequestHeadersTimeout");
            Duration(listener.KeepAliveTimeout, "KeepAliveTimeout");
            Require(listener.AccessLog.Length > 0, "AccessLog", "is empty; expected Off, Console or a file");
        }

        void CheckTcp()
        {
            addresses.Check($"{path}:Address", user, listener.Address, "tcp://127.0.0.1:3001", "tcp");
            CheckCertificates();
            Duration(listener.IdleTimeout, "IdleTimeout");
            Require(!listener.AcceptProxyProtocol || listener.TrustedProxies.Count > 0, "AcceptProxyProtocol", "is true, but TrustedProxies names nobody who may say who a client is; expected addresses or networks there");
            Require(listener.AcceptProxyProtocol || listener.TrustedProxies.Count == 0, "TrustedProxies", "is of no use without AcceptProxyProtocol; expected true there");
        }

        void CheckTasks()
        {
            addresses.Check($"{path}:Address", user, listener.Address, "tcp://127.0.0.1:8888", "tcp");
            addresses.Check($"{path}:WorkerAddress", user, listener.WorkerAddress, "tcp://127.0.0.1:8889", "tcp");
            Duration(listener.TaskTimeout, "TaskTimeout");
            Duration(listener.FirstLineTimeout, "FirstLineTimeout");
            AtLeast(1, listener.MaxAttempts, "MaxAttempts");
            AtLeast(1, listener.QueueLimit, "QueueLimit");
            Require(listener.MaxLineLength is >= 64 and <= 64 * 1024 * 1024, "MaxLineLength", $"'{listener.MaxLineLength}' is out of range; expected 64 to 67108864 (64 MiB)");
            Require(Uri.TryCreate(listener.Queue.Uri, UriKind.Absolute, out var uri) && uri.Scheme is "amqp" or "amqps", "Queue:Uri", "is not valid; expected amqp://user:password@host:port"); // might be a secret: not shown
            Require(listener.Queue.Name.Length is > 0 and <= 200, "Queue:Name", "is empty or too long; expected 1 to 200 characters");
        }

        void CheckBroker()
        {
            Require(listener.Address is not null, "Address", "is missing; expected for example tcp://127.0.0.1");
            if (listener.Address is { } address)
            {
                Require(address is { Scheme: "tcp", Port: EndpointAddress.NoPort } and not { Host: "localhost" }, "Address",
                    $"'{address}' does not fit a Broker listener; expected tcp:// and an IP address without a port, for that stands in Ports");
                addresses.CheckHost($"{path}:Address", address);
                CheckPorts(address);
            }
            AtLeast(1, listener.QueueLimit, "QueueLimit");
            Duration(listener.PublishInterval, "PublishInterval");
            Duration(listener.PeerTimeout, "PeerTimeout");
            Require(listener.PeerTimeout > listener.PublishInterval, "PeerTimeout", $"'{listener.PeerTimeout}' is not above PublishInterval ('{listener.PublishInterval}'), so everybody would be taken for gone; expected some times as much");
            var isAlternative = listener.Role == BrokerRole.Alternative;
            Require(!isAlternative || listener.MainAddress is not null, "MainAddress", "is missing; an alternative needs the IP address of its main");
            Require(isAlternative || listener.MainAddress is null, "MainAddress", "is for an Alternative; this node's Role is Main");
            Require(!isAlternative || listener.AlternativeAddress is null, "AlternativeAddress", "is for a Main; this node's Role is Alternative");
            foreach (var (key, other) in new[] { ("MainAddress", listener.MainAddress), ("AlternativeAddress", listener.AlternativeAddress) })
            {
                Require(other is null || (!other.Equals(listener.AdvertisedAddress) && other.ToString() != listener.Address?.Host), key, $"'{other}' is this node's own address; expected that of the other node");
            }
            Require(listener.AdvertisedAddress is not null || listener.Address?.Host is not ("*" or "0.0.0.0" or "::"), "AdvertisedAddress",
                $"is missing; others cannot be told to find this node at {listener.Address?.Host}");
        }

        void CheckPorts(EndpointAddress address)
        {
            var ports = listener.Ports;
            foreach (var (key, port) in new[]
                     {
                         (nameof(ports.Clients), ports.Clients), (nameof(ports.Workers), ports.Workers), (nameof(ports.HealthCheck), ports.HealthCheck),
                         (nameof(ports.AlternativePing), ports.AlternativePing), (nameof(ports.WorkerCheckClients), ports.WorkerCheckClients),
                         (nameof(ports.WorkerCheckWorkers), ports.WorkerCheckWorkers),
                     })
            {
                Require(port is >= 0 and <= 65535, $"Ports:{key}", $"'{port}' is out of range; expected 0 to 65535");
                addresses.Take($"{path}:Ports:{key}", user, address with { Port = port });
            }
        }

        void CheckCertificates()
        {
            foreach (var (i, certificate) in listener.Certificates.Index())
            {
                Require(certificate.File is not null, $"Certificates:{i}:File", "is missing; expected a PEM file");
                var fault = certificate.File is null ? null : PemCertificate.Fault(certificate);
                Require(fault is null, $"Certificates:{i}:File", $"'{certificate.File}' cannot be used: {fault}");
            }
        }

        void CheckPoolName(string key, string? pool)
        {
            Require(pool is not null, key, $"is missing; expected one of {Names(all.Pools.Keys)}");
            Require(pool is null || all.Pools.ContainsKey(pool), key, $"pool '{pool}' is not defined; expected one of {Names(all.Pools.Keys)}");
        }
    }

    [GeneratedRegex("^max-age=[0-9]+( *; *[A-Za-z]+)*\\z")]
    private static partial Regex Hsts();

    private static string Names(IEnumerable<string> names) => string.Join(", ", names.Select(name => $"'{name}'").DefaultIfEmpty("(no pool is defined)"));
}
