using System.Text.Json.Nodes;

namespace LoadBalancer.Cluster;

/// <summary>
/// What the cluster asks of etcd. Only the protocol: it keeps nothing, and tries nothing again. Every method throws an
/// <see cref="EtcdException"/> where the call has failed, and an <see cref="OperationCanceledException"/> only where it was given up.
/// </summary>
internal sealed class EtcdClient(EtcdConnection connection)
{
    /// <summary>How long a call may take.</summary>
    public TimeSpan CallTimeout => connection.CallTimeout;

    /// <summary>The endpoint that the next call goes to; another one after a failure.</summary>
    public Uri Endpoint => connection.Endpoint;

    /// <summary>Uses the next endpoint from now on, if this one is in use.</summary>
    public void Leave(Uri endpoint) => connection.Leave(endpoint);

    /// <summary>Reads the keys below a prefix, as all members of etcd agree on them.</summary>
    public Task<EtcdRange> ListAsync(string prefix, CancellationToken cancellationToken) =>
        connection.CallAsync("/v3/kv/range", Below(prefix), KeysOf, cancellationToken);

    /// <summary>Reads one key.</summary>
    public Task<EtcdRange> GetAsync(string key, CancellationToken cancellationToken) =>
        connection.CallAsync("/v3/kv/range", new() { ["key"] = EtcdText.Encode(key) }, KeysOf, cancellationToken);

    /// <summary>Asks how many keys there are below a prefix, and when one was changed last.</summary>
    public Task<EtcdCount> CountAsync(string prefix, CancellationToken cancellationToken)
    {
        var range = Below(prefix);
        (range["sort_target"], range["sort_order"], range["limit"], range["keys_only"]) = ("MOD", "DESCEND", "1", true);
        return connection.CallAsync(
            "/v3/kv/range", range,
            answer => new EtcdCount(
                EtcdText.Header(answer), EtcdText.Long(answer, "count"),
                EtcdText.List(answer, "kvs").Select(EtcdText.Key).Select(key => key.Changed).FirstOrDefault()),
            cancellationToken);
    }

    /// <summary>Makes all changes where all conditions hold, else none.</summary>
    /// <param name="conditions">The conditions; without any the changes are made.</param>
    /// <param name="changes">The changes.</param>
    /// <param name="otherwise">The key to read where a condition does not hold; null for none.</param>
    /// <param name="cancellationToken">Gives it up; it may be done all the same.</param>
    public Task<EtcdTransaction> TransactAsync(
        IEnumerable<EtcdCondition> conditions, IEnumerable<EtcdChange> changes, string? otherwise, CancellationToken cancellationToken)
    {
        var request = new JsonObject
        {
            ["compare"] = new JsonArray([.. conditions.Select(condition => condition.ToJson())]),
            ["success"] = new JsonArray([.. changes.Select(change => change.ToJson())]),
            ["failure"] = otherwise is null ? new JsonArray()
                : new JsonArray(new JsonObject { ["request_range"] = new JsonObject { ["key"] = EtcdText.Encode(otherwise) } }),
        };
        return connection.CallAsync(
            "/v3/kv/txn", request,
            answer =>
            {
                var isDone = EtcdText.Is(answer, "succeeded");
                var read = isDone ? null : EtcdText.List(answer, "responses").Select(one => EtcdText.Find(one, "response_range"))
                    .OfType<JsonObject>().SelectMany(range => EtcdText.List(range, "kvs")).Select(EtcdText.Key).FirstOrDefault();
                return new EtcdTransaction(EtcdText.Header(answer), isDone, read);
            },
            cancellationToken);
    }

    /// <summary>Takes a lease.</summary>
    /// <param name="length">How long it shall last without being kept alive; whole seconds.</param>
    /// <param name="cancellationToken">Gives it up.</param>
    /// <returns>Its number, and how long it lasts, counted from when etcd made it.</returns>
    public Task<(long Id, TimeSpan Length)> GrantAsync(TimeSpan length, CancellationToken cancellationToken) => connection.CallAsync(
        "/v3/lease/grant", new() { ["TTL"] = EtcdText.Number((long)length.TotalSeconds) },
        answer => EtcdText.Long(answer, "ID") is not 0 and var id ? (id, LengthOf(answer)) : throw new FormatException("no lease"),
        cancellationToken);

    /// <summary>Keeps a lease alive.</summary>
    /// <returns>How long it lasts, counted from when etcd has heard this; null: there is no such lease any more.</returns>
    public Task<TimeSpan?> KeepAliveAsync(long lease, CancellationToken cancellationToken) => connection.CallAsync(
        "/v3/lease/keepalive", new() { ["ID"] = EtcdText.Number(lease) },
        answer =>
        {
            var result = EtcdText.Find(answer, "result") ?? throw new FormatException("no result");
            return LengthOf(result) is var length && length > TimeSpan.Zero ? (TimeSpan?)length : null;
        },
        cancellationToken);

    /// <summary>Asks whether a lease is there still. Where it is not, nobody can think that it holds something with it.</summary>
    public Task<bool> IsAliveAsync(long lease, CancellationToken cancellationToken) => connection.CallAsync(
        "/v3/lease/timetolive", new() { ["ID"] = EtcdText.Number(lease) },
        answer => EtcdText.Header(answer) is not null && EtcdText.Long(answer, "TTL") >= 0, cancellationToken);

    /// <summary>Ends a lease, and all keys with it.</summary>
    public Task RevokeAsync(long lease, CancellationToken cancellationToken) => connection.CallAsync(
        "/v3/lease/revoke", new() { ["ID"] = EtcdText.Number(lease) }, EtcdText.Header, cancellationToken);

    /// <summary>
    /// Gets the changes of the keys below a prefix as they come; the first line says only that etcd listens. Ends where etcd or the
    /// connection does.
    /// </summary>
    /// <param name="prefix">The prefix.</param>
    /// <param name="revision">The first revision whose changes are wanted.</param>
    /// <param name="cancellationToken">Ends it.</param>
    public IAsyncEnumerable<EtcdChanges> WatchAsync(string prefix, long revision, CancellationToken cancellationToken)
    {
        var range = Below(prefix);
        (range["start_revision"], range["progress_notify"]) = (EtcdText.Number(revision), true);
        return connection.StreamAsync("/v3/watch", new() { ["create_request"] = range }, ChangesOf, cancellationToken);
    }

    private EtcdChanges ChangesOf(JsonObject line)
    {
        var result = EtcdText.Find(line, "result")
            ?? throw new FormatException(line["error"] is { } error ? EtcdText.Clean(error.ToJsonString()) : "no result");
        var compacted = EtcdText.Long(result, "compact_revision");
        var reason = EtcdText.Clean($"{result["cancel_reason"]}");
        if (reason.Contains("auth token", StringComparison.Ordinal) || reason.Contains("user name is empty", StringComparison.Ordinal))
        {
            connection.ForgetToken();
        }
        var end = compacted > 0 ? $"its changes before revision {compacted} are gone"
            : EtcdText.Is(result, "canceled") ? $"etcd has ended it: {reason}"
            : null;
        return new EtcdChanges(
            EtcdText.Header(result),
            [.. EtcdText.List(result, "events").Select(change =>
                (EtcdText.Key(EtcdText.Find(change, "kv") ?? throw new FormatException("no key")), $"{change["type"]}" == "DELETE"))],
            end);
    }

    private static JsonObject Below(string prefix) => new()
    {
        ["key"] = EtcdText.Encode(prefix),
        ["range_end"] = EtcdText.Encode(EtcdText.After(prefix)),
    };

    private static EtcdRange KeysOf(JsonObject answer) =>
        new(EtcdText.Header(answer), [.. EtcdText.List(answer, "kvs").Select(EtcdText.Key)]);

    private static TimeSpan LengthOf(JsonObject answer) => TimeSpan.FromSeconds(EtcdText.Long(answer, "TTL"));
}
