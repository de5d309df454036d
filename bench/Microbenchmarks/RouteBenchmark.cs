using System.Globalization;
using BenchmarkDotNet.Attributes;
using LoadBalancer.Balancing;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Diagnostics.Metrics;
using LoadBalancer.Http.Forwarding;
using LoadBalancer.Http.Guards.Authentication;
using LoadBalancer.Http.Guards.Rates;
using LoadBalancer.Http.Routes;
using LoadBalancer.Pools;
using LoadBalancer.Pools.Statistics;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;

namespace LoadBalancer.Bench;

/// <summary>
/// Finds the route of a request among many: told apart by their hosts, or by their paths on one host. What is asked for are 64 of them,
/// spread over the list, and something that no route takes.
/// </summary>
[MemoryDiagnoser]
[MinColumn, MedianColumn] // other programs on the machine distort the mean
public class RouteBenchmark
{
    private readonly HttpRequest[] _requests = new HttpRequest[64];
    private HttpRequest _other = null!;
    private RouteTable _table = null!;
    private int _next;

    [Params(10, 1000, 10_000)]
    public int Routes { get; set; }

    [Params("hosts", "paths")]
    public string By { get; set; } = "";

    [GlobalSetup]
    public void SetUp()
    {
        var pool = new BackendPool("web", new RoundRobinPolicy(), []);
        using var metrics = new NodeMetrics(() => [], () => throw new InvalidOperationException());
        var errors = new ErrorStatistics(TimeProvider.System);
        var forwarder = new HttpForwarder(
            pool, new PoolOptions(), null, new HttpClient(), TimeProvider.System, errors, NullLogger<HttpForwarder>.Instance, default);
        var listener = new HttpListenerOptions
        {
            Address = new("http", "127.0.0.1", 80),
            Pool = "web",
            Routes = [.. Enumerable.Range(0, Routes).Select(i => new HttpRouteOptions
            {
                Host = [By == "hosts" ? Name(i) : "bench.example"],
                Path = By == "hosts" ? null : $"/team{i % 100}/service{i}",
                Pool = "web",
            })],
        };
        _table = new RouteTable(
            listener,
            new RouteParts(
                new Dictionary<string, HttpForwarder> { ["web"] = forwarder },
                new Dictionary<string, RateLimiter>(),
                new Dictionary<string, IAuthenticator>(),
                new GuardRejections("web", errors),
                new RouteFiles(TimeProvider.System, NullLogger.Instance),
                name => new RouteStatistics("web", name, Routes, metrics.Durations)));
        for (var i = 0; i < _requests.Length; i++)
        {
            var at = (int)((long)i * Routes / _requests.Length);
            _requests[i] = By == "hosts"
                ? Request(Name(at), "/orders/17")
                : Request("bench.example", $"/team{at % 100}/service{at}/orders/17");
        }
        _other = Request("other.example", "/orders/17");
    }

    [Benchmark]
    public string? Find() => _table.Find(_requests[_next++ & 63], isPeerTrusted: false).Name;

    [Benchmark]
    public string? FindNone() => _table.Find(_other, isPeerTrusted: false).Name;

    private static string Name(int i) => string.Create(CultureInfo.InvariantCulture, $"site{i}.example");

    private static HttpRequest Request(string host, string path)
    {
        var request = new DefaultHttpContext().Request;
        (request.Host, request.Path) = (new HostString(host), path);
        return request;
    }
}
