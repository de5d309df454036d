using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace LoadBalancer.Tests.Support;

/// <summary>How a scripted etcd treats a call.</summary>
internal enum EtcdFault
{
    None,

    /// <summary>It is done, and the connection breaks before the answer.</summary>
    AnswerIsLost,

    /// <summary>It is not done, and the connection breaks.</summary>
    Refused,

    /// <summary>It is not done, and there is no answer until the caller has enough.</summary>
    Silent,

    /// <summary>It is not done: the token is too old.</summary>
    Unauthenticated,

    /// <summary>It is not done: there was no token.</summary>
    NoUser,
}

/// <summary>A small etcd in memory that does what a real one hardly ever does. Its leases end by a clock of the test.</summary>
internal sealed class EtcdStub(TimeProvider clock) : IAsyncDisposable
{
    private readonly Lock _gate = new();
    private readonly SortedDictionary<string, Entry> _keys = new(StringComparer.Ordinal);
    private readonly Dictionary<long, (TimeSpan Length, long At)> _leases = [];
    private readonly List<(long Revision, JsonObject Event)> _history = [];
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private KestrelBackend _server = null!;
    private long _lastLease = 1000;
    private long _served;
    private long _received;
    private long _sent;
    private long _events;

    /// <summary>Where it is.</summary>
    public string Address => _server.Address;

    /// <summary>Which etcd it says it is.</summary>
    public string ClusterId { get; set; } = "7";

    /// <summary>Its revision.</summary>
    public long Revision { get; set; } = 1;

    /// <summary>The first revision that a watch may still begin with.</summary>
    public long Compacted { get; set; }

    /// <summary>Whether watches say nothing.</summary>
    public bool IsDeaf { get; set; }

    /// <summary>The faults of a call to a path.</summary>
    public Func<string, EtcdFault> Fault { get; set; } = _ => EtcdFault.None;

    /// <summary>Called when a call is done, before its answer is sent.</summary>
    public Func<string, Task> BeforeAnswer { get; set; } = _ => Task.CompletedTask;

    /// <summary>The paths that were called, in order.</summary>
    public List<string> Calls { get; } = [];

    /// <summary>How many calls there were.</summary>
    public long Served => Interlocked.Read(ref _served);

    /// <summary>The bytes of all requests and answers, without the heads.</summary>
    public (long Received, long Sent) Bytes => (Interlocked.Read(ref _received), Interlocked.Read(ref _sent));

    /// <summary>How many changes the watches were told, each of them for itself.</summary>
    public long Events => Interlocked.Read(ref _events);

    /// <summary>The tokens that came with the calls.</summary>
    public List<string> Tokens { get; } = [];

    public static async Task<EtcdStub> StartAsync(TimeProvider clock)
    {
        var stub = new EtcdStub(clock);
        stub._server = await KestrelBackend.StartAsync(stub.ServeAsync, HttpProtocols.Http1);
        return stub;
    }

    /// <summary>The names of all keys, in order.</summary>
    public List<string> Keys
    {
        get
        {
            lock (_gate)
            {
                EndLeasesNeedsLock();
                return [.. _keys.Keys];
            }
        }
    }

    /// <summary>Whether a path was called.</summary>
    public bool IsCalled(string path)
    {
        lock (_gate)
        {
            return Calls.Contains(path);
        }
    }

    /// <summary>The value of a key and its lease; null where it is not there.</summary>
    public (string Value, long Lease)? Find(string key)
    {
        lock (_gate)
        {
            EndLeasesNeedsLock();
            return _keys.TryGetValue(key, out var entry) ? (entry.Value, entry.Lease) : null;
        }
    }

    /// <summary>Writes a key as somebody else would.</summary>
    public void Put(string key, string value, long lease = 0)
    {
        lock (_gate)
        {
            PutNeedsLock(key, value, lease);
        }
    }

    /// <summary>Deletes a key as somebody else would.</summary>
    public void Delete(string key)
    {
        lock (_gate)
        {
            DeleteNeedsLock(key);
        }
    }

    /// <summary>Takes a lease as somebody else would.</summary>
    public long Grant(TimeSpan length)
    {
        lock (_gate)
        {
            _leases[++_lastLease] = (length, clock.GetTimestamp());
            return _lastLease;
        }
    }

    /// <summary>Ends a lease with its keys.</summary>
    public void EndLease(long lease)
    {
        lock (_gate)
        {
            EndNeedsLock(lease);
        }
    }

    /// <summary>Becomes what it was long ago: empty, without leases, at a revision.</summary>
    public void Forget(long revision)
    {
        lock (_gate)
        {
            _keys.Clear();
            _leases.Clear();
            _history.Clear();
            Revision = revision;
            SignalNeedsLock();
        }
    }

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    private async Task ServeAsync(HttpContext context)
    {
        var path = context.Request.Path.Value!;
        var text = await new StreamReader(context.Request.Body).ReadToEndAsync();
        Interlocked.Increment(ref _served);
        Interlocked.Add(ref _received, text.Length);
        var body = JsonNode.Parse(text)!.AsObject();
        EtcdFault fault;
        lock (_gate)
        {
            Calls.Add(path);
            Tokens.Add(context.Request.Headers.Authorization.ToString());
            fault = Fault(path);
        }
        if (fault == EtcdFault.Silent)
        {
            await Task.Delay(Timeout.InfiniteTimeSpan, TimeProvider.System, context.RequestAborted)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        if (fault is EtcdFault.Refused or EtcdFault.Silent)
        {
            context.Abort();
        }
        else if (fault is EtcdFault.Unauthenticated or EtcdFault.NoUser)
        {
            var (status, error) = fault == EtcdFault.NoUser ? (400, "etcdserver: user name is empty")
                : (401, "etcdserver: invalid auth token");
            await AnswerAsync(context, status, new JsonObject { ["error"] = error });
        }
        else if (path == "/v3/watch")
        {
            await WatchAsync(context, body["create_request"]!.AsObject());
        }
        else
        {
            (int Status, JsonObject Answer) answer;
            lock (_gate)
            {
                EndLeasesNeedsLock();
                answer = AnswerNeedsLock(path, body);
            }
            await BeforeAnswer(path);
            if (fault == EtcdFault.AnswerIsLost)
            {
                context.Abort();
                return;
            }
            await AnswerAsync(context, answer.Status, answer.Answer);
        }
    }

    private (int Status, JsonObject Answer) AnswerNeedsLock(string path, JsonObject body)
    {
        switch (path)
        {
            case "/v3/kv/range":
                return (200, RangeNeedsLock(body));
            case "/v3/kv/txn":
                return TransactNeedsLock(body);
            case "/v3/lease/grant":
                _leases[++_lastLease] = (TimeSpan.FromSeconds(Number(body, "TTL")), clock.GetTimestamp());
                return (200, Answer(("ID", $"{_lastLease}"), ("TTL", $"{body["TTL"]}")));
            case "/v3/lease/keepalive":
                var id = Number(body, "ID");
                if (!_leases.TryGetValue(id, out var lease))
                {
                    return (200, new JsonObject { ["result"] = Answer(("ID", $"{id}")) });
                }
                _leases[id] = lease with { At = clock.GetTimestamp() };
                return (200, new JsonObject { ["result"] = Answer(("ID", $"{id}"), ("TTL", $"{(long)lease.Length.TotalSeconds}")) });
            case "/v3/lease/revoke":
                EndNeedsLock(Number(body, "ID"));
                return (200, Answer());
            case "/v3/auth/authenticate":
                return $"{body["password"]}" == "right" ? (200, Answer(("token", $"token{Tokens.Count}")))
                    : (400, new JsonObject { ["error"] = "etcdserver: authentication failed, invalid user ID or password" });
            default:
                return (404, []);
        }
    }

    private JsonObject RangeNeedsLock(JsonObject body)
    {
        var (from, to) = (Text(body, "key"), body["range_end"] is null ? null : Text(body, "range_end"));
        var all = _keys.Where(entry => to is null ? entry.Key == from : string.CompareOrdinal(entry.Key, from) >= 0
            && string.CompareOrdinal(entry.Key, to) < 0).ToList();
        var shown = body["limit"] is null ? all : [.. all.OrderByDescending(entry => entry.Value.Changed).Take((int)Number(body, "limit"))];
        var answer = Answer(("count", $"{all.Count}"));
        answer["kvs"] = new JsonArray([.. shown.Select(entry => Json(entry.Key, entry.Value))]);
        return answer;
    }

    private (int Status, JsonObject Answer) TransactNeedsLock(JsonObject body)
    {
        var holds = body["compare"]!.AsArray().All(condition =>
        {
            var entry = _keys.GetValueOrDefault(Text(condition!.AsObject(), "key"));
            var (actual, field) = $"{condition["target"]}" switch
            {
                "CREATE" => (entry?.Created ?? 0, "create_revision"),
                "MOD" => (entry?.Changed ?? 0, "mod_revision"),
                _ => (entry?.Lease ?? 0, "lease"),
            };
            return actual == Number(condition.AsObject(), field);
        });
        var responses = new JsonArray();
        var revision = Revision + 1; // one for all that it writes
        foreach (var operation in body[holds ? "success" : "failure"]!.AsArray())
        {
            if (operation!["request_put"] is JsonObject put)
            {
                var lease = put["lease"] is null ? 0 : Number(put, "lease");
                if (lease != 0 && !_leases.ContainsKey(lease))
                {
                    return (404, new JsonObject { ["error"] = "etcdserver: requested lease not found" });
                }
                PutNeedsLock(Text(put, "key"), Text(put, "value"), lease, revision);
            }
            else if (operation["request_delete_range"] is JsonObject delete)
            {
                DeleteNeedsLock(Text(delete, "key"));
            }
            else
            {
                responses.Add(new JsonObject { ["response_range"] = RangeNeedsLock(operation["request_range"]!.AsObject()) });
            }
        }
        var answer = Answer();
        (answer["succeeded"], answer["responses"]) = (holds, responses);
        return (200, answer);
    }

    private async Task WatchAsync(HttpContext context, JsonObject request)
    {
        var (from, to, next) = (Text(request, "key"), Text(request, "range_end"), Number(request, "start_revision"));
        await LineAsync(context, ("created", true));
        while (!context.RequestAborted.IsCancellationRequested)
        {
            List<JsonObject> events;
            Task changed;
            lock (_gate)
            {
                EndLeasesNeedsLock();
                changed = _changed.Task;
                events = IsDeaf ? [] : [.. _history.Where(entry => entry.Revision >= next)
                    .Select(entry => entry.Event.DeepClone().AsObject())
                    .Where(change => Text(change["kv"]!.AsObject(), "key") is var key && string.CompareOrdinal(key, from) >= 0
                        && string.CompareOrdinal(key, to) < 0)];
            }
            if (next < Compacted)
            {
                await LineAsync(context, ("canceled", true), ("compact_revision", $"{Compacted}"));
                return;
            }
            if (events.Count > 0)
            {
                next = events.Max(change => Number(change["kv"]!.AsObject(), "mod_revision")) + 1;
                Interlocked.Add(ref _events, events.Count);
                await LineAsync(context, ("events", new JsonArray([.. events])));
            }
            await changed.WaitAsync(context.RequestAborted).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task LineAsync(HttpContext context, params (string, JsonNode)[] members)
    {
        JsonObject line;
        lock (_gate)
        {
            line = new JsonObject { ["result"] = Answer(members) };
        }
        var text = line.ToJsonString() + "\n";
        Interlocked.Add(ref _sent, text.Length);
        await context.Response.WriteAsync(text);
        await context.Response.Body.FlushAsync();
    }

    private Task AnswerAsync(HttpContext context, int status, JsonObject answer)
    {
        var text = answer.ToJsonString();
        Interlocked.Add(ref _sent, text.Length);
        context.Response.StatusCode = status;
        return context.Response.WriteAsync(text);
    }

    private JsonObject Answer(params (string Name, JsonNode Value)[] members)
    {
        var answer = new JsonObject { ["header"] = new JsonObject { ["cluster_id"] = ClusterId, ["revision"] = $"{Revision}" } };
        foreach (var (name, value) in members)
        {
            answer[name] = value;
        }
        return answer;
    }

    private void PutNeedsLock(string key, string value, long lease, long? revision = null)
    {
        Revision = revision ?? Revision + 1;
        var entry = new Entry(value, _keys.GetValueOrDefault(key)?.Created ?? Revision, Revision, lease);
        _keys[key] = entry;
        _history.Add((Revision, new JsonObject { ["kv"] = Json(key, entry) }));
        SignalNeedsLock();
    }

    private void DeleteNeedsLock(string key)
    {
        if (_keys.Remove(key))
        {
            Revision++;
            var kv = new JsonObject { ["key"] = Base64(key), ["mod_revision"] = $"{Revision}" };
            _history.Add((Revision, new JsonObject { ["type"] = "DELETE", ["kv"] = kv }));
            SignalNeedsLock();
        }
    }

    private void EndNeedsLock(long lease)
    {
        _leases.Remove(lease);
        _keys.Where(entry => entry.Value.Lease == lease).Select(entry => entry.Key).ToList().ForEach(DeleteNeedsLock);
    }

    private void EndLeasesNeedsLock() =>
        _leases.Where(lease => clock.GetElapsedTime(lease.Value.At) >= lease.Value.Length).Select(lease => lease.Key).ToList()
            .ForEach(EndNeedsLock);

    private void SignalNeedsLock()
    {
        _changed.TrySetResult();
        _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private static JsonObject Json(string key, Entry entry) => new()
    {
        ["key"] = Base64(key),
        ["value"] = Base64(entry.Value),
        ["create_revision"] = $"{entry.Created}",
        ["mod_revision"] = $"{entry.Changed}",
        ["lease"] = $"{entry.Lease}",
    };

    private static string Base64(string text) => Convert.ToBase64String(Encoding.UTF8.GetBytes(text));

    private static string Text(JsonObject json, string member) => Encoding.UTF8.GetString(Convert.FromBase64String($"{json[member]}"));

    private static long Number(JsonObject json, string member) => long.Parse($"{json[member]}", CultureInfo.InvariantCulture);

    private sealed record Entry(string Value, long Created, long Changed, long Lease);
}
