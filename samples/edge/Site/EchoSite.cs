using System.Globalization;
using System.Net;
using System.Text;

namespace Site;

/// <summary>A web server whose answers show what a request looked like when it arrived.</summary>
internal static class EchoSite
{
    private static readonly object Report = new
    {
        Orders = Enumerable.Range(1, 1000).Select(
            i => new { Number = i, Product = $"Product {i % 17}", Price = i % 50 + 0.99, Paid = i % 3 > 0 }),
    };

    /// <summary>Serves until the token is cancelled.</summary>
    public static async Task RunAsync(string name, IPEndPoint listen, CancellationToken stop)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls($"http://{listen}");
        await using var app = builder.Build();
        app.MapGet("/report", () => Report);
        app.MapFallback(context =>
        {
            var request = context.Request;
            var text = new StringBuilder();
            text.Append(CultureInfo.InvariantCulture, $"{name}: {request.Method} {request.Path}{request.QueryString}\n");
            foreach (var (field, value) in request.Headers)
            {
                text.Append(CultureInfo.InvariantCulture, $"{field}: {value}\n");
            }
            return context.Response.WriteAsync(text.ToString());
        });
        await app.StartAsync(stop);
        Console.WriteLine($"{name} listens on http://{listen}");
        await app.WaitForShutdownAsync(stop);
    }
}
