using System.Collections;
using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using LoadBalancer.Net;

namespace LoadBalancer.Configuration.Options;

/// <summary>What a listener speaks.</summary>
public enum ListenerProtocol
{
    /// <summary>HTTP requests are forwarded.</summary>
    Http,

    /// <summary>Connections are relayed, whatever goes over them.</summary>
    Tcp,

    /// <summary>Lines with tasks are handed to workers that register.</summary>
    Tasks,

    /// <summary>ZeroMQ requests are handed to workers that connect.</summary>
    Broker,
}

/// <summary>
/// One address where clients connect: the settings that every listener has. Each protocol has a type of its own with the others.
/// </summary>
public abstract record ListenerOptions
{
    private protected ListenerOptions(ListenerProtocol protocol) => Protocol = protocol;

    /// <summary>What it speaks. It decides which type is made of a listener's section. Default Http.</summary>
    public ListenerProtocol Protocol { get; }

    /// <summary>
    /// Where it listens: <c>http://127.0.0.1:8080</c>, <c>https://</c> with certificates, or <c>tcp://</c> where it does not speak HTTP;
    /// the address of a Broker has no port. Host <c>*</c> is every local address. <c>unix:/run/lb.sock</c> is a Unix socket, for Http
    /// without TLS and for Tcp; <c>unix:@name</c> one of Linux without a file. Required.
    /// </summary>
    public EndpointAddress Address { get; init; } = null!;

    /// <summary>The pool that serves its clients; with an Http listener, what no route takes. Required.</summary>
    public string Pool { get; init; } = null!;

    /// <summary>How many connections may be open at once; a further one is closed at once. Null (the default) is no limit.</summary>
    public int? MaxConnections { get; init; }

    /// <summary>Who may connect to a Unix socket; null for the default.</summary>
    internal virtual UnixFileMode? UnixMode => null;

    /// <summary>Where it listens: one address, and those beside it that some protocols have.</summary>
    internal virtual IEnumerable<EndpointAddress> Addresses => [Address];

    /// <summary>The names of all pools that it leads to.</summary>
    internal virtual IEnumerable<string> PoolNames => [Pool];

    /// <summary>Whether workers join its pool. One listener at a time can use them.</summary>
    internal virtual bool HasWorkers => false;

    /// <summary>Where it goes on to accept while it finishes what it has: workers may have to connect again for that.</summary>
    internal virtual IEnumerable<EndpointAddress> AddressesToItsEnd => [];

    /// <summary>
    /// The settings that a reload changes in the running listener. Where any other changes, another listener takes its place.
    /// </summary>
    private protected abstract IReadOnlyList<string> Reloadable { get; }

    /// <summary>Whether another listener must take the place of the one with these options to apply the new ones.</summary>
    [UnconditionalSuppressMessage("Trimming", "IL2075", Justification = "the program's own assembly is kept whole (TrimmerRootAssembly)")]
    internal virtual bool NeedsAnother(ListenerOptions now) =>
        GetType() != now.GetType()
        || GetType().GetProperties(BindingFlags.Public | BindingFlags.Instance)
            .Any(property => !Reloadable.Contains(property.Name) && !IsSame(property.GetValue(this), property.GetValue(now)));

    /// <summary>Whether a listener with these options can only start when one that goes has ended.</summary>
    internal bool MustWaitFor(ListenerOptions gone) =>
        HasWorkers && gone.HasWorkers && Pool.Equals(gone.Pool, StringComparison.OrdinalIgnoreCase)
        || Addresses.Select(address => address.Port)
            .Intersect(gone.AddressesToItsEnd.Select(address => address.Port)).Any(port => port != 0);

    /// <summary>Whether all settings of two records are the same.</summary>
    [UnconditionalSuppressMessage("Trimming", "IL2090", Justification = "the program's own assembly is kept whole (TrimmerRootAssembly)")]
    internal static bool HaveSameSettings<T>(T here, T there) =>
        typeof(T).GetProperties(BindingFlags.Public | BindingFlags.Instance)
            .All(property => IsSame(property.GetValue(here), property.GetValue(there)));

    /// <summary>Whether two values of a setting are the same; lists and maps are when their items are.</summary>
    internal static bool IsSame(object? here, object? there) => (here, there) switch
    {
        (IList list, IList other) => list.Cast<object>().SequenceEqual(other.Cast<object>()),
        (IDictionary map, IDictionary other) => map.Count == other.Count
            && map.Keys.Cast<object>().All(key => other.Contains(key) && Equals(map[key], other[key])),
        _ => Equals(here, there),
    };
}
