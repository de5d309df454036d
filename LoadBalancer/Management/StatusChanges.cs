using System.Text.Json.Nodes;

namespace LoadBalancer.Management;

/// <summary>
/// What differs between two snapshots, so that a page in front of a thousand backends need not be sent all of them each second. A list,
/// as the pools, their backends and the routes are, is compared item by item: <c>{"set":{"inFlight":[0,3,7,1]}}</c> says that the first
/// item has 3 in flight now, and the eighth 1. Where items have come, gone or changed places, the whole list is in it as <c>all</c>.
/// </summary>
internal static class StatusChanges
{
    /// <summary>The fields that have another value, each with its value; and the lists that have changed.</summary>
    /// <param name="before">What the reader has.</param>
    /// <param name="now">What it is to have.</param>
    public static JsonObject Between(JsonObject before, JsonObject now)
    {
        var changes = Fields(before, now, "pools", "routes");
        var (pools, poolsNow) = (Items(before, "pools"), Items(now, "pools"));
        if (!HaveSameNames(pools, poolsNow))
        {
            changes["pools"] = new JsonObject { ["all"] = now["pools"]!.DeepClone() };
        }
        else
        {
            var changed = new JsonArray();
            foreach (var (pool, poolNow) in pools.Zip(poolsNow))
            {
                var fields = Fields(pool, poolNow, "backends");
                if (List(Items(pool, "backends"), Items(poolNow, "backends")) is { } backends)
                {
                    fields["backends"] = backends;
                }
                if (fields.Count > 0)
                {
                    fields["name"] = poolNow["name"]!.DeepClone();
                    changed.Add((JsonNode)fields);
                }
            }
            if (changed.Count > 0)
            {
                changes["pools"] = new JsonObject { ["changed"] = changed };
            }
        }
        if (List(Items(before, "routes"), Items(now, "routes")) is { } routes)
        {
            changes["routes"] = routes;
        }
        return changes;
    }

    private static JsonObject Fields(JsonObject before, JsonObject now, params ReadOnlySpan<string> lists)
    {
        var changes = new JsonObject();
        foreach (var (name, value) in now)
        {
            if (!lists.Contains(name) && !(before.TryGetPropertyValue(name, out var known) && JsonNode.DeepEquals(known, value)))
            {
                changes[name] = value?.DeepClone();
            }
        }
        foreach (var (name, _) in before)
        {
            if (!now.ContainsKey(name))
            {
                changes[name] = null;
            }
        }
        return changes;
    }

    // Null where nothing has changed.
    private static JsonObject? List(JsonObject[] before, JsonObject[] now)
    {
        if (!HaveSameNames(before, now) || !before.Zip(now).All(pair => HaveSameFields(pair.First, pair.Second)))
        {
            return new JsonObject { ["all"] = new JsonArray([.. now.Select(item => item.DeepClone())]) };
        }
        var set = new JsonObject();
        for (var i = 0; i < now.Length; i++)
        {
            foreach (var (name, value) in now[i])
            {
                if (!JsonNode.DeepEquals(before[i][name], value))
                {
                    var values = set[name] as JsonArray ?? new JsonArray();
                    set[name] ??= values;
                    values.Add((JsonNode)i);
                    values.Add(value?.DeepClone());
                }
            }
        }
        return set.Count > 0 ? new JsonObject { ["set"] = set } : null;
    }

    private static bool HaveSameNames(JsonObject[] before, JsonObject[] now) =>
        before.Length == now.Length && before.Zip(now).All(pair => JsonNode.DeepEquals(pair.First["name"], pair.Second["name"])
            && JsonNode.DeepEquals(pair.First["listener"], pair.Second["listener"]));

    // An object keeps the order in which its fields were set, which is always the same here.
    private static bool HaveSameFields(JsonObject before, JsonObject now) =>
        before.Count == now.Count && before.Zip(now).All(pair => pair.First.Key == pair.Second.Key);

    private static JsonObject[] Items(JsonObject json, string name) => [.. json[name]!.AsArray().Select(item => item!.AsObject())];
}
