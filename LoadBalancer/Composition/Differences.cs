using System.Text.Json.Nodes;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Management;
using LoadBalancer.Pools;

namespace LoadBalancer.Composition;

/// <summary>What operators have changed since the file was read.</summary>
/// <param name="File">What the file needs to have it too: a merge patch (RFC 7396) of the file; empty where nothing has changed.</param>
/// <param name="Found">Changed backends that cannot be in the file: those that were found, and workers.</param>
internal sealed record Differences(JsonObject File, JsonArray Found)
{
    /// <summary>Compares pools with the file.</summary>
    /// <param name="options">The options of the file, and those in use.</param>
    /// <param name="pools">The pools as they are.</param>
    public static Differences Of(OptionsInUse.State options, IEnumerable<NodePool> pools)
    {
        var (changed, found) = (new JsonObject(), new JsonArray());
        foreach (var pool in pools)
        {
            var name = options.File.Pools.Keys.FirstOrDefault(key => key.Equals(pool.Pool.Name, StringComparison.OrdinalIgnoreCase));
            if (name is null || !options.InUse.Pools.TryGetValue(name, out var used))
            {
                continue;
            }
            var json = PoolSettings.Of(used).DifferenceTo(PoolSettings.Of(options.File.Pools[name]));
            if (pool.Compare(found) is { Count: > 0 } backends)
            {
                json[nameof(PoolOptions.Backends)] = backends;
            }
            if (json.Count > 0)
            {
                changed[name] = json;
            }
        }
        return new Differences(
            changed.Count == 0 ? [] : new JsonObject
            {
                [LoadBalancerOptions.SectionName] = new JsonObject { [nameof(LoadBalancerOptions.Pools)] = changed },
            },
            found);
    }

    /// <summary>Compares the members of a pool with its file.</summary>
    /// <param name="pool">The pool.</param>
    /// <param name="file">Its options.</param>
    /// <param name="members">The same with the members that were found.</param>
    /// <param name="leaving">Those that are draining, to be removed.</param>
    /// <param name="found">Gets those that cannot be in the file.</param>
    public static JsonObject Of(BackendPool pool, PoolOptions file, PoolOptions members, IReadOnlySet<Backend> leaving, JsonArray found)
    {
        var json = new JsonObject();
        var present = pool.Snapshot.Members.Where(member => !leaving.Contains(member)).ToList();
        // A name in the file may stand for others that were found.
        foreach (var (name, wanted) in file.Backends.Where(entry => members.Backends.ContainsKey(entry.Key)))
        {
            var member = present.FirstOrDefault(one => one.Name.Equals(name, StringComparison.OrdinalIgnoreCase));
            if (member is null)
            {
                json[name] = null;
            }
            else if (Of(member, wanted) is { Count: > 0 } difference)
            {
                json[name] = difference;
            }
        }
        foreach (var member in present.Where(one => !file.Backends.ContainsKey(one.Name)))
        {
            var wanted = members.Backends.GetValueOrDefault(member.Name);
            var isAdded = wanted is null && !file.IsJoined;
            var difference = Of(member, wanted ?? new BackendOptions { Address = isAdded ? null! : member.Address });
            if (isAdded)
            {
                json[member.Name] = difference;
            }
            else if (difference.Count > 0)
            {
                found.Add((JsonNode)new JsonObject
                {
                    ["pool"] = pool.Name,
                    ["backend"] = member.Name,
                    ["weight"] = member.Weight,
                    ["adminState"] = $"{member.AdminState}",
                });
            }
        }
        return json;
    }

    private static JsonObject Of(Backend member, BackendOptions wanted)
    {
        var json = new JsonObject();
        if (member.Address != wanted.Address)
        {
            json[nameof(BackendOptions.Address)] = $"{member.Address}";
        }
        if (member.Weight != wanted.Weight)
        {
            json[nameof(BackendOptions.Weight)] = member.Weight;
        }
        if (member.AdminState != wanted.AdminState)
        {
            json[nameof(BackendOptions.AdminState)] = $"{member.AdminState}";
        }
        return json;
    }
}
