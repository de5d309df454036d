using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Net.Sockets;

namespace LoadBalancer.Configuration.Options;

/// <summary>How the names of a pool's backends are looked up.</summary>
public sealed record DnsOptions
{
    /// <summary>The port of a server that is given without one.</summary>
    public const int DefaultPort = 53;

    /// <summary>
    /// The servers to ask, one or a list, in turn: <c>10.0.0.2</c>, <c>10.0.0.2:5353</c>, <c>[::1]:53</c>; port 53 without one. Default
    /// null: the system's resolver.
    /// </summary>
    public IReadOnlyList<string>? Server { get; init; }

    /// <summary>
    /// The shortest time between two lookups of a name, 1 s or more, however short the records' TTL is, and the time to the next lookup
    /// after a failed one. The system's resolver tells no TTL: there a name is looked up every six times this. Default 5 s.
    /// </summary>
    public TimeSpan MinInterval { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// The longest time between two lookups of a name, however long the records' TTL is. The time after failed lookups doubles up to this.
    /// Default 5 min.
    /// </summary>
    public TimeSpan MaxInterval { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>The servers to ask; none means the system's resolver.</summary>
    internal IReadOnlyList<string> Servers => Server ?? [];

    /// <summary>The same for all values; a list is compared by what is in it.</summary>
    public bool Equals(DnsOptions? other) =>
        other is not null && MinInterval == other.MinInterval && MaxInterval == other.MaxInterval && Servers.SequenceEqual(other.Servers);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(MinInterval, MaxInterval, Servers.Count);

    /// <summary>Reads a server's address: an IP address, with or without a port.</summary>
    /// <param name="text">What the configuration says.</param>
    /// <param name="server">The address, where it is one.</param>
    public static bool TryParse(string text, [NotNullWhen(true)] out IPEndPoint? server)
    {
        server = IPEndPoint.TryParse(text, out var parsed) ? parsed : null;
        // The framework also takes 10.1 and 010.0.0.1, which hardly anybody means.
        if (server?.AddressFamily == AddressFamily.InterNetwork && text.Split(':')[0] != server.Address.ToString())
        {
            server = null;
        }
        if (server is { Port: 0 })
        {
            server = text.EndsWith(":0", StringComparison.Ordinal) && (text[0] == '[' || server.AddressFamily == AddressFamily.InterNetwork)
                ? null : new IPEndPoint(server.Address, DefaultPort);
        }
        return server is not null;
    }
}
