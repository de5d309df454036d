using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Pools;
using LoadBalancer.Upgrade;

namespace LoadBalancer.Composition;

/// <summary>
/// What of a pool goes along to the process that replaces this one, and what becomes of it there: as after a reload, the settings of
/// operators stay, unless the configuration has changed that setting since. Backends that operators have added or removed stay so too.
/// </summary>
internal static class HandedPools
{
    /// <summary>Describes a pool.</summary>
    /// <param name="pool">The pool.</param>
    /// <param name="options">Its options, with the members that were found.</param>
    /// <param name="stickyKey">The key of its sticky sessions; null where it has none.</param>
    /// <param name="leaving">The backends that leave as soon as nothing is in flight there.</param>
    /// <param name="found">What its names led to last.</param>
    public static HandedPool Of(
        BackendPool pool, PoolOptions options, byte[]? stickyKey, IReadOnlySet<Backend> leaving, List<HandedAnswer> found) =>
        new()
        {
            Name = pool.Name,
            StickyKey = stickyKey,
            Found = found.Count > 0 ? found : null,
            Configured =
            [
                .. options.Backends.Select(entry => new HandedBackend
                {
                    Name = entry.Key,
                    Address = $"{entry.Value.Address}",
                    Weight = entry.Value.Weight,
                    AdminState = $"{entry.Value.AdminState}",
                }),
            ],
            // Workers register anew.
            Backends = pool.IsJoinedByWorkers ? [] :
            [
                .. pool.Snapshot.Members.Where(backend => !leaving.Contains(backend)).Select(backend => new HandedBackend
                {
                    Name = backend.Name,
                    Address = $"{backend.Address}",
                    Weight = backend.Weight,
                    AdminState = $"{backend.AdminState}",
                    Health = backend.Health.ToKnown(),
                    Limit = backend.Adaptive?.Limit ?? 0,
                    BaseSeconds = backend.Adaptive?.BaseSeconds ?? 0,
                }),
            ],
        };

    /// <summary>The backends with which a pool begins.</summary>
    /// <param name="handed">What another process knew; null where there was none.</param>
    /// <param name="options">The options of the pool now, with the members that were found.</param>
    public static IEnumerable<(string Name, BackendOptions Options, KnownHealth? Health)> Begin(HandedPool? handed, PoolOptions options)
    {
        var before = ByName(handed?.Configured);
        var members = ByName(handed?.Backends);
        foreach (var (name, wanted) in options.Backends)
        {
            var was = before.GetValueOrDefault(name);
            var isOfOperator = was is not null && was.Address == wanted.Address; // the configuration has not moved it
            if (!members.TryGetValue(name, out var member))
            {
                if (!isOfOperator)
                {
                    yield return (name, wanted, null);
                }
            }
            else if (isOfOperator || member.Address == wanted.Address)
            {
                var now = wanted with
                {
                    Address = member.Address,
                    HostName = member.Address == wanted.Address ? wanted.HostName : null,
                    Backup = wanted.Backup && member.Address == wanted.Address,
                    Weight = was?.Weight == wanted.Weight ? member.Weight : wanted.Weight,
                    AdminState = was?.AdminState == wanted.AdminState ? member.AdminState : wanted.AdminState,
                };
                yield return (name, now, member.Health);
            }
            else
            {
                yield return (name, wanted, null);
            }
        }
        foreach (var (name, added) in members.Where(entry => !options.Backends.ContainsKey(entry.Key) && !before.ContainsKey(entry.Key)))
        {
            var joined = new BackendOptions { Address = added.Address, Weight = added.Weight, AdminState = added.AdminState };
            yield return (name, joined, added.Health);
        }
    }

    /// <summary>Lets adaptive limits go on from where they were in another process.</summary>
    /// <param name="handed">What that process knew; null where there was none.</param>
    /// <param name="members">The backends of the pool.</param>
    public static void RestoreLimits(HandedPool? handed, IEnumerable<Backend> members)
    {
        var limits = (handed?.Backends ?? []).Where(backend => backend.Limit > 0)
            .ToLookup(backend => (backend.Name, backend.Address), backend => (backend.Limit, backend.BaseSeconds));
        foreach (var member in members)
        {
            if (member.Adaptive is { } adaptive && limits[(member.Name, $"{member.Address}")].FirstOrDefault() is { Limit: > 0 } known)
            {
                adaptive.Restore(known.Limit, known.BaseSeconds);
            }
        }
    }

    // What cannot be read, as it may be with another version, is left out.
    private static Dictionary<string, Member> ByName(List<HandedBackend>? backends)
    {
        var byName = new Dictionary<string, Member>(StringComparer.Ordinal);
        foreach (var backend in backends ?? [])
        {
            if (EndpointAddress.TryParse(backend.Address, out var address, out _)
                && Enum.TryParse<AdminState>(backend.AdminState, out var state) && Enum.IsDefined(state)
                && backend.Weight is >= 0 and <= Backend.MaxWeight)
            {
                byName[backend.Name] = new Member(address, backend.Weight, state, backend.Health);
            }
        }
        return byName;
    }

    private sealed record Member(EndpointAddress Address, int Weight, AdminState AdminState, KnownHealth? Health);
}
