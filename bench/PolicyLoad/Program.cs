using System.Globalization;

namespace LoadBalancer.Bench;

/// <summary>
/// Both ends of a comparison of policies. <c>serve SCENARIO FIRST COUNT</c> is COUNT servers at the ports from FIRST on, see
/// <see cref="UnevenServer"/>; it prints how many requests in a second they can answer together, and ends when its input ends.
/// <c>load RATE WARM SECONDS PORT...</c> sends requests to the proxies at these ports, see <see cref="OpenLoad"/>; it prints how many
/// there were, the percentiles of their times in milliseconds, how many failed, and how many were answered within a second, per second.
/// </summary>
internal static class Program
{
    private static async Task<int> Main(string[] args)
    {
        switch (args)
        {
            case ["serve", var scenario, var first, var count]:
                await UnevenServer.RunAsync(scenario, (int)Number(first), (int)Number(count));
                return 0;
            case ["load", var rate, var warm, var seconds, .. var ports]:
                await OpenLoad.RunAsync(
                    Number(rate), Number(warm), Number(seconds), [.. ports.Select(port => (int)Number(port))]);
                return 0;
            default:
                await Console.Error.WriteLineAsync("usage: serve SCENARIO FIRST COUNT | load RATE WARM SECONDS PORT...");
                return 1;
        }
    }

    private static double Number(string text) => double.Parse(text, CultureInfo.InvariantCulture);
}
