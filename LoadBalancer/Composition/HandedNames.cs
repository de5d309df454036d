using System.Net;
using LoadBalancer.Discovery;
using LoadBalancer.Upgrade;

namespace LoadBalancer.Composition;

/// <summary>
/// Describes what a name led to for the process that replaces this one, which then has the same members from the beginning.
/// </summary>
internal static class HandedNames
{
    /// <summary>Describes it.</summary>
    public static HandedAnswer Of((NameKey Key, LookupAnswer Answer) name) => new()
    {
        Kind = $"{name.Key.Kind}",
        Name = name.Key.Host,
        Servers =
        [
            .. name.Answer.Servers.Select(server => new HandedServer
            {
                Address = $"{server.Address}",
                Host = server.Host,
                Port = server.Port,
                Priority = server.Priority,
                Weight = server.Weight,
            }),
        ],
    };

    /// <summary>Reads it; null where it cannot be read, as it may be with another version.</summary>
    public static (NameKey Key, LookupAnswer Answer)? Read(HandedAnswer handed)
    {
        if (!Enum.TryParse<NameKind>(handed.Kind, out var kind) || !Enum.IsDefined(kind))
        {
            return null;
        }
        var servers = from server in handed.Servers ?? []
                      where IPAddress.TryParse(server.Address, out _) && server.Port is >= 0 and <= ushort.MaxValue
                      select new FoundServer(IPAddress.Parse(server.Address), server.Host, server.Port, server.Priority, server.Weight);
        return (new NameKey(kind, handed.Name), new LookupAnswer([.. servers], null));
    }
}
