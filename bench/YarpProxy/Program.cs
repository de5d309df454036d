using System.Globalization;
using Yarp.ReverseProxy.Configuration;

namespace LoadBalancer.Bench;

/// <summary>
/// YARP, to compare policies with: <c>YarpProxy PORT POLICY FIRST COUNT</c> listens on PORT and sends each request to one of the servers at
/// the COUNT ports from FIRST on, by this policy of YARP's.
/// </summary>
internal static class Program
{
    private static async Task Main(string[] args)
    {
        var (first, count) = (int.Parse(args[2], CultureInfo.InvariantCulture), int.Parse(args[3], CultureInfo.InvariantCulture));
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls($"http://127.0.0.1:{args[0]}");
        builder.Services.AddReverseProxy().LoadFromMemory(
            [new RouteConfig { RouteId = "all", ClusterId = "web", Match = new RouteMatch { Path = "/{**any}" } }],
            [
                new ClusterConfig
                {
                    ClusterId = "web",
                    LoadBalancingPolicy = args[1],
                    Destinations = Enumerable.Range(first, count).ToDictionary(
                        port => $"b{port}", port => new DestinationConfig { Address = $"http://127.0.0.1:{port}" }),
                },
            ]);
        await using var app = builder.Build();
        app.MapReverseProxy();
        await app.RunAsync();
    }
}
