using LoadBalancer.Configuration;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Management;
using LoadBalancer.Upgrade;

namespace LoadBalancer.Composition;

/// <summary>
/// The options that a node runs with: those of its file, and what operators have changed of pools since. Such a change stays until the file
/// says something else about the same setting than before. Changes are applied one at a time, all in the same way.
/// </summary>
internal sealed class OptionsInUse : IDisposable
{
    // A reload may wait for a listener to end. Other changes by operators must not wait for that too.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);

    private readonly Func<LoadBalancerOptions, bool, Task> _apply;
    private readonly TimeProvider _time;
    private readonly SemaphoreSlim _turn = new(1);
    private volatile State _state;

    /// <summary>Begins with the options of the file.</summary>
    /// <param name="file">The options of the file, which must be valid.</param>
    /// <param name="handed">What the process that this one replaces knew; null where there was none.</param>
    /// <param name="apply">Applies options; its second argument says whether they are those of a file that was read again.</param>
    /// <param name="time">The clock.</param>
    public OptionsInUse(LoadBalancerOptions file, HandedState? handed, Func<LoadBalancerOptions, bool, Task> apply, TimeProvider time)
    {
        (_apply, _time) = (apply, time);
        var pools = handed?.Pools?.ToLookup(pool => pool.Name, StringComparer.OrdinalIgnoreCase);
        _state = new State(file, Change(file, (name, now) =>
            pools?[name].FirstOrDefault() is { } pool
            && PoolSettings.Read(pool.ConfiguredSettings) is { } before && PoolSettings.Read(pool.Settings) is { } settings
                ? settings.After(before, now) : now));
    }

    /// <summary>The options of the file.</summary>
    public LoadBalancerOptions File => _state.File;

    /// <summary>Both, as they belong together.</summary>
    public State Now => _state;

    /// <summary>The options that are in use.</summary>
    public LoadBalancerOptions InUse => _state.InUse;

    /// <summary>The settings of a pool; null where there is none.</summary>
    public PoolSettings? Find(string pool) => InUse.Pools.TryGetValue(pool, out var options) ? PoolSettings.Of(options) : null;

    /// <summary>Applies a file that was read again.</summary>
    /// <exception cref="StartException">It cannot be applied; nothing has changed.</exception>
    public async Task ApplyAsync(LoadBalancerOptions file)
    {
        await _turn.WaitAsync();
        try
        {
            var before = _state;
            var next = Change(file, (name, now) =>
                before.File.Pools.TryGetValue(name, out var old) && before.InUse.Pools.TryGetValue(name, out var used)
                    ? PoolSettings.Of(used).After(PoolSettings.Of(old), now) : now);
            await _apply(next, true);
            _state = new State(file, next);
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Changes settings of a pool.</summary>
    /// <param name="pool">The pool.</param>
    /// <param name="change">
    /// Gets the settings and gives others, or says why not. Nothing else changes them meanwhile: a reload that was under way has ended.
    /// </param>
    /// <returns>Why they were not changed; null where they were.</returns>
    public async Task<ChangeOutcome?> ChangeAsync(
        string pool, Func<PoolSettings, (PoolSettings? Settings, ChangeOutcome? Refused)> change)
    {
        using (var limit = new CancellationTokenSource(Patience, _time))
        {
            var turn = _turn.WaitAsync(limit.Token);
            await turn.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (turn.IsCanceled)
            {
                return Conflict("a change of the configuration file is being applied; try again later");
            }
        }
        try
        {
            var before = _state;
            if (!before.InUse.Pools.TryGetValue(pool, out var used))
            {
                return Conflict($"pool '{pool}' has just been removed");
            }
            var (settings, refused) = change(PoolSettings.Of(used));
            if (settings is null)
            {
                return refused;
            }
            var next = With(before.InUse, pool, settings);
            if (FindErrors(next, pool) is [var error, ..])
            {
                return ChangeOutcome.Refused(StatusCodes.Status400BadRequest, error);
            }
            await _apply(next, false);
            _state = before with { InUse = next };
            return null;
        }
        catch (StartException e)
        {
            return Conflict(e.Message);
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Adds the settings of pools to what the process that replaces this one gets.</summary>
    public void HandOver(List<HandedPool> pools)
    {
        var (file, used) = _state;
        foreach (var pool in pools.Where(pool => file.Pools.ContainsKey(pool.Name) && used.Pools.ContainsKey(pool.Name)))
        {
            pool.ConfiguredSettings = PoolSettings.Of(file.Pools[pool.Name]).ToJson();
            pool.Settings = PoolSettings.Of(used.Pools[pool.Name]).ToJson();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _turn.Dispose();

    private static ChangeOutcome Conflict(string reason) => ChangeOutcome.Refused(StatusCodes.Status409Conflict, reason);

    // Settings that do not fit what the file says now, for example a hash key of a pool that is not for HTTP any more, are given up.
    private static LoadBalancerOptions Change(LoadBalancerOptions file, Func<string, PoolSettings, PoolSettings> settingsOf)
    {
        var next = file;
        foreach (var (name, options) in file.Pools)
        {
            var now = PoolSettings.Of(options);
            if (settingsOf(name, now) is var settings && settings != now)
            {
                var changed = With(next, name, settings);
                next = FindErrors(changed, name).Count == 0 ? changed : next;
            }
        }
        return next;
    }

    private static LoadBalancerOptions With(LoadBalancerOptions options, string pool, PoolSettings settings)
    {
        var pools = new Dictionary<string, PoolOptions>(options.Pools, StringComparer.OrdinalIgnoreCase);
        pools[pool] = settings.In(pools[pool]);
        return options with { Pools = pools };
    }

    private static List<string> FindErrors(LoadBalancerOptions options, string pool)
    {
        var path = $"{LoadBalancerOptions.SectionName}:Pools:{pool}:";
        return
        [
            .. ConfigurationLoader.FindErrors(options).Where(error => error.Path.StartsWith(path, StringComparison.OrdinalIgnoreCase))
                .Select(error => $"{error.Path[path.Length..]}: {error.Message}"),
        ];
    }

    /// <summary>The options of the file, and those in use.</summary>
    /// <param name="File">The options of the file.</param>
    /// <param name="InUse">The same, with what operators have changed of pools.</param>
    internal sealed record State(LoadBalancerOptions File, LoadBalancerOptions InUse);
}
