using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Management;

/// <summary>Changes that an operator makes to pools at run time.</summary>
/// <param name="put">Adds or replaces a backend of a pool.</param>
/// <param name="delete">Drains a backend, and removes it.</param>
/// <param name="logger">Gets a line for each change.</param>
internal sealed partial class PoolAdministration(
    Func<BackendPool, string, EndpointAddress, int, Backend?> put, Action<BackendPool, Backend> delete, ILogger<PoolAdministration> logger)
{
    private const string PatchExpected = "expected for example {\"adminState\":\"Draining\",\"weight\":5}, either alone too";
    private const string PutExpected = "expected for example {\"address\":\"http://127.0.0.1:3002\",\"weight\":1}";

    /// <summary>Changes admin state, weight or both.</summary>
    /// <returns>The backend; or null, and what is wrong, where nothing was changed.</returns>
    public (Backend? Backend, string Error) Patch(BackendPool pool, Backend backend, JsonElement change, ManagementUser user)
    {
        AdminState? state = null;
        int? weight = null;
        foreach (var property in change.EnumerateObject())
        {
            switch (property.Name)
            {
                case "adminState":
                    state = StateOf(property.Value);
                    if (state is null)
                    {
                        return (null, $"adminState {Raw(property.Value)} is not valid; expected \"Ready\", \"Draining\" or \"Disabled\"");
                    }
                    break;
                case "weight":
                    weight = WeightOf(property.Value);
                    if (weight is null)
                    {
                        return (null, WeightError(property.Value));
                    }
                    break;
                default:
                    return (null, $"'{property.Name}' cannot be changed; {PatchExpected}");
            }
        }
        if (state is null && weight is null)
        {
            return (null, $"there is nothing to change; {PatchExpected}");
        }
        pool.Change(() =>
        {
            backend.AdminState = state ?? backend.AdminState;
            backend.Weight = weight ?? backend.Weight;
        });
        LogChanged(
            pool.Name, backend.Name, user, string.Create(CultureInfo.InvariantCulture, $"{backend.AdminState}, weight {backend.Weight}"));
        return (backend, "");
    }

    /// <summary>Adds a backend, or replaces the one of that name.</summary>
    /// <returns>The backend; or null, and what is wrong, where nothing was changed.</returns>
    public (Backend? Backend, string Error) Put(BackendPool pool, string name, JsonElement wanted, ManagementUser user)
    {
        if (pool.IsJoinedByWorkers)
        {
            return (null, $"the backends of pool '{pool.Name}' are workers that join it by themselves; "
                + $"expected another pool, or a worker that registers as '{name}'");
        }
        EndpointAddress? address = null;
        int? weight = 1;
        foreach (var property in wanted.EnumerateObject())
        {
            switch (property.Name)
            {
                case "address":
                    if (property.Value.ValueKind != JsonValueKind.String
                        || !EndpointAddress.TryParse(property.Value.GetString()!, out address, out _))
                    {
                        return (null, $"address {Raw(property.Value)} is not valid; {PutExpected}");
                    }
                    break;
                case "weight":
                    weight = WeightOf(property.Value);
                    if (weight is null)
                    {
                        return (null, WeightError(property.Value));
                    }
                    break;
                default:
                    return (null, $"'{property.Name}' is unknown; {PutExpected}");
            }
        }
        var scheme = pool.Snapshot.Members.Select(member => member.Address).FirstOrDefault(known => !known.IsUnix)?.Scheme;
        if (address is not { IsUnix: true }
            && (address is null || address.Port <= 0 || address.Host == "*" || scheme == "tcp" != address.IsTcp))
        {
            var error = address is null ? "address is missing" : $"address \"{address}\" is not one of a backend of this pool";
            return (null, $"{error}; {PutExpected}");
        }
        if (name.Length == 0 || name.Any(c => c is <= ' ' or '\x7f'))
        {
            return (null, "the backend's name is empty, or has blanks in it");
        }
        if (put(pool, name, address, weight.Value) is not { } backend)
        {
            return (null, $"pool '{pool.Name}' has just been removed");
        }
        LogChanged(pool.Name, name, user, string.Create(CultureInfo.InvariantCulture, $"{address}, weight {weight}"));
        return (backend, "");
    }

    /// <summary>Drains a backend, and removes it when nothing is in flight.</summary>
    public void Delete(BackendPool pool, Backend backend, ManagementUser user)
    {
        delete(pool, backend);
        LogChanged(pool.Name, backend.Name, user, "draining, then removed");
    }

    /// <summary>Gives a backend settings that it has had before, and adds it again if it is gone.</summary>
    /// <returns>The backend; null where the pool is gone.</returns>
    public Backend? Restore(BackendPool pool, string name, BackendSettings settings, ManagementUser user)
    {
        if (!EndpointAddress.TryParse(settings.Address, out var address, out _)
            || put(pool, name, address, settings.Weight) is not { } backend)
        {
            return null;
        }
        pool.Change(() => (backend.Weight, backend.AdminState) = (settings.Weight, settings.AdminState));
        var what = string.Create(CultureInfo.InvariantCulture, $"again {address}, {backend.AdminState}, weight {backend.Weight}");
        LogChanged(pool.Name, name, user, what);
        return backend;
    }

    /// <summary>Logs that the settings of a pool were changed.</summary>
    public void NotePool(BackendPool pool, PoolSettings settings, ManagementUser user) => LogPoolChanged(pool.Name, user, settings);

    private static AdminState? StateOf(JsonElement value) =>
        value.ValueKind == JsonValueKind.String
        && Enum.GetNames<AdminState>().Contains(value.GetString(), StringComparer.OrdinalIgnoreCase) // no numbers, no lists
            ? Enum.Parse<AdminState>(value.GetString()!, ignoreCase: true)
            : null;

    private static int? WeightOf(JsonElement value) =>
        value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out var weight) && weight is >= 0 and <= 1000 ? weight : null;

    private static string Raw(JsonElement value)
    {
        var json = value.ValueKind == JsonValueKind.String
            ? JsonText.Of(JsonValue.Create(value.GetString()!)) : value.GetRawText();
        var text = AddressText.WithoutCredentials(json);
        return text.Length <= 100 ? text : text[..100] + "…";
    }

    private static string WeightError(JsonElement value) => $"weight {Raw(value)} is not valid; expected a whole number from 0 to 1000";

    [LoggerMessage(303, LogLevel.Information, "pool '{Pool}' was changed by {User}: {Settings}")]
    private partial void LogPoolChanged(string pool, ManagementUser user, PoolSettings settings);

    [LoggerMessage(70, LogLevel.Information, "pool '{Pool}': backend '{Backend}' was changed by {User}: {What}")]
    private partial void LogChanged(string pool, string backend, ManagementUser user, string what);
}
