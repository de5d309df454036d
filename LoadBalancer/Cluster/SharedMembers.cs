using System.Collections.Immutable;
using System.Globalization;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Pools;

namespace LoadBalancer.Cluster;

/// <summary>The backends of a pool as its file and the operators of the cluster want them: a pure function.</summary>
internal static class SharedMembers
{
    /// <summary>
    /// Puts what operators have set over what the file says. A deleted backend that the file names is disabled instead. What does not fit
    /// the pool's protocol is left out.
    /// </summary>
    /// <param name="options">The pool, with the backends that its file, its list and its names lead to.</param>
    /// <param name="shared">What operators have set, by <see cref="BackendKey.Backend"/>.</param>
    /// <param name="before">How it was judged last, by the same names.</param>
    /// <returns>The pool with its backends, and how the settings are judged now.</returns>
    public static (PoolOptions Options, ImmutableDictionary<string, JudgedBackend> Judged) Of(
        PoolOptions options, IReadOnlyDictionary<string, SharedBackend> shared, ImmutableDictionary<string, JudgedBackend> before)
    {
        if (shared.Count == 0)
        {
            return (options, ImmutableDictionary<string, JudgedBackend>.Empty);
        }
        var backends = new Dictionary<string, BackendOptions>(options.Backends, StringComparer.OrdinalIgnoreCase);
        var names = options.Backends.Keys.ToDictionary(name => BackendKey.Of("", name).Backend);
        var judged = ImmutableDictionary.CreateBuilder<string, JudgedBackend>();
        foreach (var (key, setting) in shared)
        {
            var name = names.GetValueOrDefault(key);
            var file = name is null ? null : options.Backends[name];
            var now = Judge(before.GetValueOrDefault(key), setting, file);
            judged[key] = now;
            if (Member(file, setting, now, options.IsHttp) is { } member)
            {
                backends[name ?? setting.Added!.Value!.Name] = member;
            }
        }
        return (options with { Backends = backends }, judged.ToImmutable());
    }

    private static JudgedBackend Judge(JudgedBackend? before, SharedBackend setting, BackendOptions? file)
    {
        var weight = file?.Weight.ToString(CultureInfo.InvariantCulture);
        var whole = file is null ? null : string.Create(CultureInfo.InvariantCulture, $"{file.Address} {file.Weight} {file.AdminState}");
        return new JudgedBackend(
            Judged.Of(before?.AdminState, setting.AdminState?.Time, file is null ? null : $"{file.AdminState}", isNaming: false),
            Judged.Of(before?.Weight, setting.Weight?.Time, weight, isNaming: false),
            Judged.Of(before?.Added, setting.Added?.Time, whole, isNaming: true));
    }

    private static BackendOptions? Member(BackendOptions? file, SharedBackend setting, JudgedBackend judged, bool isHttp)
    {
        var added = judged.Added is { IsOver: false } && Fits(setting.Added!.Value, isHttp) ? setting.Added : null;
        var origin = Origin(file, added?.Value);
        if (origin is null)
        {
            return null;
        }
        var state = new Setting<AdminState?>(file?.AdminState ?? AdminState.Ready, DateTimeOffset.MinValue, "");
        var weight = new Setting<int?>(origin.Weight, DateTimeOffset.MinValue, "");
        if (added is not null)
        {
            state = new(added.Value?.AdminState ?? AdminState.Disabled, added.Time, added.Node);
            weight = new(added.Value?.Weight ?? origin.Weight, added.Time, added.Node);
        }
        state = Holding(state, setting.AdminState, judged.AdminState);
        weight = Holding(weight, setting.Weight, judged.Weight);
        return origin with
        {
            AdminState = state.Value ?? file?.AdminState ?? AdminState.Ready,
            Weight = weight.Value ?? file?.Weight ?? origin.Weight,
        };
    }

    // Where it is, and what is not for operators to set.
    private static BackendOptions? Origin(BackendOptions? file, AddedBackend? added) =>
        added is null || added.Address == file?.Address ? file
        : file is null ? new BackendOptions { Address = added.Address, Weight = added.Weight }
        : file with { Address = added.Address, HostName = null, Backup = false };

    private static Setting<T> Holding<T>(Setting<T> present, Setting<T>? set, Judged? judged) =>
        set is not null && judged is { IsOver: false } && set.Time > present.Time ? set : present;

    private static bool Fits(AddedBackend? added, bool isHttp) => added is null || added.Address.IsUnix || added.Address.IsTcp != isHttp;
}
