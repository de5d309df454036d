using System.Text.Json.Nodes;
using LoadBalancer.Cluster;
using LoadBalancer.Configuration;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Configuration.Reading;
using LoadBalancer.Management;
using Microsoft.Extensions.Logging.Abstractions;
using static Microsoft.AspNetCore.Http.StatusCodes;

namespace LoadBalancer.Composition;

/// <summary>
/// Uses the configuration that the cluster shares in the place of some sections of the node's own file: at the start the one that the node
/// knows, then each that is pushed. What this node cannot use changes nothing.
/// </summary>
internal sealed partial class NodeConfiguration : IDisposable
{
    private readonly LoadedConfiguration _own;
    private readonly PushedCopy? _copy;
    private ClusterNode _cluster = null!;
    private ConfigurationReloader _reloader = null!;
    private ConfigurationKeeper _keeper = null!; // until Follow
    private Action _save = () => { };
    private TimeProvider _time = TimeProvider.System;
    private ILogger _logger = NullLogger.Instance;
    private volatile State _state;
    private volatile Task _applied = Task.CompletedTask;
    private volatile Task _appliedSoon = Task.CompletedTask;

    /// <summary>Decides with what the node starts.</summary>
    /// <param name="own">Its own file.</param>
    /// <param name="copy">What it knows of the shared configuration; null for nothing.</param>
    public NodeConfiguration(LoadedConfiguration own, PushedCopy? copy)
    {
        (_own, _copy, Loaded) = (own, copy, own);
        // One that is valid may still be impossible to use, for example because a port is taken. It is tried again once the node runs.
        var refused = copy is { IsRefused: true } ? copy.Known : null;
        _state = new State(null, refused, refused is null ? [] : ["it could not be used before this start"]);
        foreach (var pushed in new[] { refused is null ? copy?.Known : null, copy?.InUse }.OfType<PushedConfiguration>())
        {
            var loaded = own.Reload(new Offer(pushed));
            if (loaded.Errors.Count == 0)
            {
                (Loaded, _state) = (loaded, _state with { InUse = pushed });
                break;
            }
            if (_state.Refused is null)
            {
                _state = new State(null, pushed, [.. loaded.Errors.Select(error => $"{error}")]);
            }
        }
        Wanted = copy is null ? null : new Offer(copy.Known);
    }

    /// <summary>With what the node starts.</summary>
    public LoadedConfiguration Loaded { get; }

    /// <summary>What is to be used, also where the node could not be started with it; null for nothing.</summary>
    public PushedText? Wanted { get; }

    /// <summary>
    /// Completes when the one that was pushed last was applied or refused, or that takes long: a listener may have to end first.
    /// </summary>
    public Task AppliedSoon => _appliedSoon;

    /// <summary>For the copy on disk; null for nothing.</summary>
    public PushedCopy? Copy => (_keeper is null ? _copy?.Known : _keeper.Known) is not { } known ? null
        : new PushedCopy(known, _state.InUse == known ? null : _state.InUse) { IsRefused = _state.Refused == known };

    /// <summary>What the other nodes are told; null for nothing.</summary>
    public MemberConfiguration? Member => _state is { InUse: null, Refused: null } ? null
        : new MemberConfiguration(_state.InUse?.Mark.Number, _state.Refused is null ? null : Reason(_state));

    /// <summary>What the API shows and does.</summary>
    public SharedConfiguration Api => new(Show, History, (text, user) => PushAsync(text, user, null), RollBackAsync);

    /// <summary>Follows from now on what is pushed.</summary>
    /// <param name="cluster">This node's part in the cluster, not started yet.</param>
    /// <param name="options">Its options.</param>
    /// <param name="reloader">Applies what is pushed; tells <see cref="Tried"/> of it.</param>
    /// <param name="save">Writes the copy on disk.</param>
    /// <param name="time">The clock.</param>
    /// <param name="logger">Gets what happens.</param>
    public void Follow(
        ClusterNode cluster, ClusterOptions options, ConfigurationReloader reloader, Action save, TimeProvider time, ILogger logger)
    {
        (_cluster, _reloader, _save, _time, _logger) = (cluster, reloader, save, time, logger);
        _keeper = new ConfigurationKeeper(cluster.Etcd, options.Name, options.NodeName, _copy?.Known, time, logger)
        {
            WhyNot = () => cluster.IsConnected ? null : $"this node is not connected to etcd ({cluster.WhyNot})",
            Use = Use,
        };
        cluster.Keys.Changed += _keeper.TakeUp;
    }

    /// <summary>Begins.</summary>
    public void Start()
    {
        if (_state.Refused is not null)
        {
            LogNotStarted(Reason(_state), _state.InUse is { } former ? $"{former}" : $"'{_own.File}'");
            _reloader.RequestReload();
        }
        else if (_state.InUse is { } pushed)
        {
            LogStarted($"{pushed}", string.Join(", ", SharedSections.Names), _own.File);
        }
        _keeper.Start();
    }

    /// <summary>Writes nothing to etcd any more. It may be called again.</summary>
    public Task StopAsync() => _keeper.StopAsync();

    /// <summary>Takes note of whether a configuration that was pushed was applied.</summary>
    public void Tried(PushedText text, ReloadResult result)
    {
        var pushed = ((Offer)text).Pushed;
        if (result.Errors.Count == 0)
        {
            _state = new State(pushed, null, []);
            LogUsed($"{pushed}");
        }
        else
        {
            _state = new State(_state.InUse, pushed, result.Errors);
            LogRefused(Reason(_state), _state.InUse is { } former ? $"{former}" : $"'{_own.File}'");
        }
        _save();
        _cluster.TellConfiguration();
    }

    /// <inheritdoc/>
    public void Dispose() => _keeper?.Dispose();

    private void Use(PushedConfiguration pushed)
    {
        _save(); // Also where it is refused: it is the last one that is known.
        _applied = _reloader.UseAsync(new Offer(pushed));
        _appliedSoon = WaitAsync(_applied, SharedKeeper.LongestChange / 2);
    }

    private async Task WaitAsync(Task applied, TimeSpan longest) =>
        await applied.WaitAsync(longest, _time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

    private JsonObject? Show()
    {
        if (_keeper.Known is not { } pushed)
        {
            return null;
        }
        var json = pushed.Mark.ToJson();
        json["text"] = pushed.Text;
        return json;
    }

    private JsonObject History() => new()
    {
        ["revision"] = _keeper.Known?.Mark.Number,
        ["history"] = new JsonArray([.. _keeper.History.Select(mark => mark.ToJson())]),
    };

    private Task<ChangeOutcome> RollBackAsync(long number, ManagementUser user) => _keeper.Find(number) is { } former
        ? PushAsync(former.Text, user, number)
        : Task.FromResult(ChangeOutcome.Refused(
            Status404NotFound,
            $"there is no configuration {number}; expected one of {string.Join(", ", _keeper.History.Select(mark => mark.Number))}"));

    // 200 where it was pushed, also if this node cannot use it after all; 422 where it is invalid here.
    private async Task<ChangeOutcome> PushAsync(string text, ManagementUser user, long? rollbackOf)
    {
        var loaded = _own.Reload(new PushedText(0, text));
        if (loaded.Errors.Count > 0)
        {
            return new ChangeOutcome(Status422UnprocessableEntity)
            {
                Error = $"{loaded.Errors[0]}",
                Body = _ => Json(null, false, loaded.Errors.Select(error => $"{error}"), []),
            };
        }
        var before = _keeper.Known?.Mark;
        var result = await _keeper.PushAsync(text, user.Name, rollbackOf);
        if (result.Mark is not { } mark)
        {
            return ChangeOutcome.Refused(result.IsConflict ? Status409Conflict : Status503ServiceUnavailable, result.Error!);
        }
        var applied = _applied;
        await WaitAsync(applied, SharedKeeper.LongestChange);
        if (!applied.IsCompletedSuccessfully)
        {
            var why = applied.IsCompleted ? "is stopping" : $"has not applied it within {SharedKeeper.LongestChange.TotalSeconds} s";
            return ChangeOutcome.Refused(
                Status503ServiceUnavailable,
                $"{mark} is there for all nodes, but this one {why}; its log and /api/cluster say what becomes of it");
        }
        var state = _state;
        var errors = state.InUse?.Mark == mark ? [] : state.Refused?.Mark == mark ? state.Errors : ["another one was pushed since"];
        var warnings = loaded.Warnings.Select(warning => $"{warning}").Concat(
            SharedSections.Unused(JsonFile.Parse("", text, []).Keys).Select(path => $"{path}: is each node's own, and is not used"));
        return ChangeOutcome.Done(
            before is null ? null : new JsonObject { ["revision"] = before.Number }, new JsonObject { ["revision"] = mark.Number },
            _ => Json(mark.Number, errors.Count == 0, errors, warnings));
    }

    private static JsonObject Json(long? number, bool isApplied, IEnumerable<string> errors, IEnumerable<string> warnings) => new()
    {
        ["revision"] = number,
        ["applied"] = isApplied,
        ["errors"] = new JsonArray([.. errors.Select(error => (JsonNode?)error)]),
        ["warnings"] = new JsonArray([.. warnings.Select(warning => (JsonNode?)warning)]),
    };

    private static string Reason(State state) =>
        $"configuration {state.Refused!.Mark.Number} cannot be used: {state.Errors[0]}"
        + (state.Errors.Count > 1 ? $" (and {state.Errors.Count - 1} more)" : "");

    [LoggerMessage(274, LogLevel.Information,
        "cluster: this node starts with {Pushed}: {Sections} of '{File}' are not used, but for the addresses of listeners")]
    private partial void LogStarted(string pushed, string sections, string file);

    [LoggerMessage(275, LogLevel.Error,
        "cluster: {Reason}; this node starts with {Former}. Correct that, then reload; or push another one")]
    private partial void LogNotStarted(string reason, string former);

    [LoggerMessage(276, LogLevel.Information, "cluster: {Pushed}, is in use")]
    private partial void LogUsed(string pushed);

    [LoggerMessage(277, LogLevel.Error, "cluster: {Reason}; this node keeps {Former}. Correct that, then reload; or push another one")]
    private partial void LogRefused(string reason, string former);

    // With what stands behind it.
    private sealed record Offer(PushedConfiguration Pushed) : PushedText(Pushed.Mark.Number, Pushed.Text);

    /// <summary>What the node does with what was pushed.</summary>
    /// <param name="InUse">The one that is in use; null where the node's own file is.</param>
    /// <param name="Refused">The one that is to be used, and cannot be; null for none.</param>
    /// <param name="Errors">Why.</param>
    private sealed record State(PushedConfiguration? InUse, PushedConfiguration? Refused, IReadOnlyList<string> Errors);
}
