using System.Collections.Immutable;
using System.Text.Json.Nodes;

namespace LoadBalancer.Cluster;

/// <summary>What a node knows of its cluster, as it stands in the copy on disk.</summary>
/// <param name="State">What operators have set.</param>
/// <param name="Judged">How the node has judged that against its own file.</param>
/// <param name="Revision">The last revision of etcd that it has seen; 0 for none.</param>
/// <param name="StickyKey">The key of the cluster's sticky sessions; null where it is not known.</param>
internal sealed record StateCopy(
    SharedState State, ImmutableDictionary<BackendKey, JudgedBackend> Judged, long Revision, StickyKeyOfCluster? StickyKey)
{
    /// <summary>The configuration that the cluster shares; null where none was pushed, or this node does not share it.</summary>
    public PushedCopy? Configuration { get; init; }

    /// <summary>Nothing is known.</summary>
    public static StateCopy Empty { get; } = new(SharedState.Empty, ImmutableDictionary<BackendKey, JudgedBackend>.Empty, 0, null);

    /// <summary>As JSON.</summary>
    public JsonObject ToJson()
    {
        var shared = new JsonObject();
        foreach (var (key, backend) in State.All)
        {
            foreach (var part in Enum.GetValues<SharedPart>().Where(part => backend.Part(part) != SharedBackend.None))
            {
                shared[SharedText.Key(key, part)] = SharedText.Json(backend, part);
            }
        }
        var judged = new JsonObject();
        foreach (var (key, backend) in Judged.OrderBy(entry => entry.Key.Pool).ThenBy(entry => entry.Key.Backend))
        {
            judged[SharedText.Key(key, SharedPart.Admin)] = new JsonObject
            {
                ["adminState"] = Json(backend.AdminState),
                ["weight"] = Json(backend.Weight),
                ["added"] = Json(backend.Added),
            };
        }
        return new JsonObject
        {
            ["revision"] = Revision,
            ["stickyKey"] = StickyKey?.ToJson(),
            ["configuration"] = Configuration?.ToJson(),
            ["shared"] = shared,
            ["judged"] = judged,
        };
    }

    /// <summary>Reads it. A setting that cannot be read, as it may be with another version, is left out.</summary>
    /// <exception cref="FormatException">It is none. Others for JSON are possible too.</exception>
    public static StateCopy Read(JsonObject json)
    {
        var state = SharedState.Empty;
        foreach (var (name, value) in json["shared"]?.AsObject() ?? [])
        {
            if (SharedText.TryReadKey(name, out var key, out var part) && value is not null
                && SharedText.TryRead(value.ToJsonString(), part, out var backend))
            {
                state = state.Merge(key, backend);
            }
        }
        var judged = ImmutableDictionary.CreateBuilder<BackendKey, JudgedBackend>();
        foreach (var (name, value) in json["judged"]?.AsObject() ?? [])
        {
            if (SharedText.TryReadKey(name, out var key, out _) && value is JsonObject backend)
            {
                judged[key] = new JudgedBackend(Judge(backend["adminState"]), Judge(backend["weight"]), Judge(backend["added"]));
            }
        }
        return new StateCopy(
            state, judged.ToImmutable(), json["revision"]?.GetValue<long>() ?? 0, StickyKeyOfCluster.Read(json["stickyKey"]))
        {
            Configuration = PushedCopy.TryRead(json["configuration"]),
        };
    }

    private static JsonObject? Json(Judged? judged) => judged is null ? null : new JsonObject
    {
        ["time"] = SharedText.Time(judged.Time),
        ["said"] = judged.Said,
        ["isOver"] = judged.IsOver,
    };

    private static Judged? Judge(JsonNode? json) => json is null ? null : new Judged(
        SharedText.ReadTime(json["time"]?.GetValue<string>() ?? ""), json["said"]?.GetValue<string>(),
        json["isOver"]?.GetValue<bool>() ?? false);
}
