using System.Net.Http.Json;
using System.Text.Json.Nodes;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// Changes backends of its own at nodes at random, one change after the other, and knows what may hold: the last change that was answered
/// with 200, or one of those since that were answered with 503, or not at all.
/// </summary>
/// <param name="number">Its number.</param>
/// <param name="nodes">The nodes.</param>
/// <param name="addresses">Where backends are.</param>
/// <param name="random">What is random in it.</param>
/// <param name="wrong">Gets what must not happen.</param>
internal sealed class ChaosOperator(
    int number, IReadOnlyList<ChaosNode> nodes, IReadOnlyList<string> addresses, Random random, Action<string> wrong)
{
    private static readonly string[] States = ["Ready", "Draining", "Disabled"];

    private readonly Dictionary<string, HashSet<string>> _possible = new()
    {
        ["state"] = ["Ready"],
        ["weight"] = ["1"],
        ["added"] = ["-"],
    };

    /// <summary>The backend of the files that it changes.</summary>
    public string Own => $"b{number}";

    /// <summary>The backend that it adds and deletes.</summary>
    public string Added => $"x{number}";

    /// <summary>How many changes were answered with 200.</summary>
    public int Done { get; private set; }

    /// <summary>How many may have been made or not.</summary>
    public int Unknown { get; private set; }

    /// <summary>Makes changes until that is cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        while (!cancellationToken.IsCancellationRequested)
        {
            var node = nodes[random.Next(nodes.Count)];
            if (node.IsLiving)
            {
                await ChangeAsync(node);
            }
            await Task.Delay(TimeSpan.FromMilliseconds(random.Next(5, 100)), TimeProvider.System, CancellationToken.None);
        }
    }

    /// <summary>Says what is not as it may be in what a node shows. What holds there is from then on all that may hold.</summary>
    public void Check(ChaosNode node, JsonArray backends)
    {
        var own = backends.Single(backend => $"{backend!["name"]}" == Own)!;
        var added = backends.SingleOrDefault(backend => $"{backend!["name"]}" == Added);
        Settle("state", $"{own["adminState"]}");
        Settle("weight", $"{own["weight"]}");
        Settle("added", added is null || $"{added["adminState"]}" == "Draining" ? "-" : $"{added["address"]}"); // It is about to go.

        void Settle(string what, string value)
        {
            var possible = _possible[what];
            if (!possible.Contains(value))
            {
                wrong($"node '{node.Name}': {what} of operator {number} is {value}, but was set to {string.Join(" or ", possible)}");
            }
            _possible[what] = [value];
        }
    }

    private async Task ChangeAsync(ChaosNode node)
    {
        var (what, value) = random.Next(5) switch
        {
            0 => ("weight", $"{random.Next(1, 9)}"),
            1 => ("added", _possible["added"].Contains("-") ? addresses[random.Next(addresses.Count)] : "-"),
            _ => ("state", States[random.Next(States.Length)]),
        };
        var epoch = node.Epoch;
        var status = 0;
        try
        {
            using var client = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{node.Management}") };
            using var request = Request(what, value);
            using var answer = await client.SendAsync(request);
            status = (int)answer.StatusCode;
            if (status is not (200 or 201 or 202 or 404 or 409 or 503))
            {
                wrong($"node '{node.Name}' answered {status} to an operator: {await answer.Content.ReadAsStringAsync()}");
            }
        }
        catch (HttpRequestException e)
        {
            if (node.Epoch == epoch)
            {
                wrong($"node '{node.Name}' lives, and did not answer an operator: {e.Message}");
            }
        }
        if (status is 200 or 201 or 202)
        {
            _possible[what] = [value];
            Done++;
        }
        else if (status is not (404 or 409)) // There is nothing to delete, or the process is being replaced: nothing was changed.
        {
            _possible[what].Add(value);
            Unknown++;
        }
    }

    private HttpRequestMessage Request(string what, string value) => what switch
    {
        "weight" => new(HttpMethod.Patch, Path(Own)) { Content = JsonContent.Create(new { weight = int.Parse(value, null) }) },
        "state" => new(HttpMethod.Patch, Path(Own)) { Content = JsonContent.Create(new { adminState = value }) },
        _ when value == "-" => new(HttpMethod.Delete, Path(Added)),
        _ => new(HttpMethod.Put, Path(Added)) { Content = JsonContent.Create(new { address = value, weight = 1 }) },
    };

    private static string Path(string backend) => $"/api/pools/web/backends/{backend}";
}
