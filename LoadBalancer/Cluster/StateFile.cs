using System.Text.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;
using LoadBalancer.Files;

namespace LoadBalancer.Cluster;

/// <summary>
/// The copy on disk of what a node knows of its cluster, with which it starts when etcd is away: one file for each cluster and node, which
/// only the user of this process can read.
/// </summary>
/// <param name="directory">Where it is; null for <c>loadbalancer/cluster</c> in the user's directory for application data.</param>
/// <param name="cluster">The name of the cluster.</param>
/// <param name="node">The name of the node.</param>
internal sealed class StateFile(string? directory, string cluster, string node)
{
    /// <summary>Its path; null where the user has no directory for application data, and no other was configured.</summary>
    public string? Path { get; } = (directory ?? DefaultDirectory()) is { } folder
        ? System.IO.Path.Combine(folder, $"{Uri.EscapeDataString(cluster)}@{Uri.EscapeDataString(node)}.json") : null;

    /// <summary>Reads it; null where there is none.</summary>
    /// <exception cref="IOException">It cannot be read, or is no such file.</exception>
    public StateCopy? Read()
    {
        try
        {
            return Path is null ? null
                : StateCopy.Read(JsonNode.Parse(File.ReadAllText(Path)) as JsonObject ?? throw new FormatException("it is no JSON object"));
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException or UnauthorizedAccessException
            or ArgumentException)
        {
            throw new IOException(e.Message, e);
        }
    }

    /// <summary>Writes it.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    public void Write(StateCopy copy)
    {
        var file = Path ?? throw new IOException("the user has no directory for application data");
        try
        {
            PrivateFile.Write(file, JsonText.Bytes(copy.ToJson()));
        }
        catch (UnauthorizedAccessException e)
        {
            throw new IOException(e.Message, e);
        }
    }

    private static string? DefaultDirectory() =>
        Environment.GetFolderPath(Environment.SpecialFolder.LocalApplicationData) is { Length: > 0 } data
            ? System.IO.Path.Combine(data, "loadbalancer", "cluster") : null;
}
