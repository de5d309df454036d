using System.Text.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Composition;

/// <summary>What a node knows of its cluster when it starts: from the process that it replaces, or from its copy on disk.</summary>
/// <param name="File">The file of the copy.</param>
/// <param name="Copy">What is known.</param>
/// <param name="Troubles">What could not be read, and why.</param>
internal sealed record KnownState(StateFile File, StateCopy Copy, IReadOnlyList<(string What, string Reason)> Troubles)
{
    /// <summary>Reads it; null where the node is in no cluster.</summary>
    /// <param name="options">The cluster.</param>
    /// <param name="start">What the process that this one replaces has handed over.</param>
    public static KnownState? Of(ClusterOptions? options, NodeStart start)
    {
        if (options is null)
        {
            return null;
        }
        var (file, troubles) = (new StateFile(options.StateDirectory, options.Name, options.NodeName), new List<(string, string)>());
        return new KnownState(file, Read(start.StateOf(options)?.Shared, troubles) ?? Read(file, troubles) ?? StateCopy.Empty, troubles);
    }

    private static StateCopy? Read(string? handed, List<(string What, string Reason)> troubles)
    {
        try
        {
            return handed is not null && JsonNode.Parse(handed) is JsonObject json ? StateCopy.Read(json) : null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException or ArgumentException)
        {
            troubles.Add(("what the process before has handed over", e.Message));
            return null;
        }
    }

    private static StateCopy? Read(StateFile file, List<(string What, string Reason)> troubles)
    {
        try
        {
            return file.Read();
        }
        catch (IOException e)
        {
            troubles.Add(($"the copy on disk '{file.Path}'", e.Message));
            return null;
        }
    }
}
