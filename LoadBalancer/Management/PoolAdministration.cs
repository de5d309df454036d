using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Management;

/// <summary>Changes that an operator makes to pools at run time.</summary>
/// <param name="changes">Carries them out.</param>
/// <param name="logger">Gets a line for each change.</param>
internal sealed partial class PoolAdministration(IPoolChanges changes, ILogger<PoolAdministration> logger)
{
    private const string PatchExpected = "expected for example {\"adminState\":\"Draining\",\"weight\":5}, either alone too";
    private const string PutExpected = "expected for example {\"address\":\"http://127.0.0.1:3002\",\"weight\":1}";

    /// <summary>Changes admin state, weight or both.</summary>
    public Task<ChangeResult> PatchAsync(BackendPool pool, Backend backend, JsonElement change, ManagementUser user)
    {
        var patch = new BackendPatch(false, null, false, null);
        foreach (var property in change.EnumerateObject())
        {
            switch (property.Name)
            {
                case "adminState":
                    patch = patch with { SetsAdminState = true, AdminState = StateOf(property.Value) };
                    if (patch.AdminState is null && !IsClearing(pool, property.Value))
                    {
                        return Wrong($"adminState {Raw(property.Value)} is not valid; expected \"Ready\", \"Draining\" or \"Disabled\"");
                    }
                    break;
                case "weight":
                    patch = patch with { SetsWeight = true, Weight = WeightOf(property.Value) };
                    if (patch.Weight is null && !IsClearing(pool, property.Value))
                    {
                        return Wrong(WeightError(property.Value));
                    }
                    break;
                default:
                    return Wrong($"'{property.Name}' cannot be changed; {PatchExpected}");
            }
        }
        return patch is { SetsAdminState: false, SetsWeight: false }
            ? Wrong($"there is nothing to change; {PatchExpected}")
            : LoggedAsync(changes.PatchAsync(pool, backend, patch), pool, user, Settings);
    }

    /// <summary>Adds a backend, or replaces the one of that name.</summary>
    public Task<ChangeResult> PutAsync(BackendPool pool, string name, JsonElement wanted, ManagementUser user)
    {
        if (pool.IsJoinedByWorkers)
        {
            return Wrong($"the backends of pool '{pool.Name}' are workers that join it by themselves; "
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
                        return Wrong($"address {Raw(property.Value)} is not valid; {PutExpected}");
                    }
                    break;
                case "weight":
                    weight = WeightOf(property.Value);
                    if (weight is null)
                    {
                        return Wrong(WeightError(property.Value));
                    }
                    break;
                default:
                    return Wrong($"'{property.Name}' is unknown; {PutExpected}");
            }
        }
        var scheme = pool.Snapshot.Members.Select(member => member.Address).FirstOrDefault(known => !known.IsUnix)?.Scheme;
        if (address is not { IsUnix: true }
            && (address is null || address.Port <= 0 || address.Host == "*" || scheme == "tcp" != address.IsTcp))
        {
            var error = address is null ? "address is missing" : $"address \"{address}\" is not one of a backend of this pool";
            return Wrong($"{error}; {PutExpected}");
        }
        if (name.Length == 0 || name.Any(c => c is <= ' ' or '\x7f'))
        {
            return Wrong("the backend's name is empty, or has blanks in it");
        }
        return LoggedAsync(
            changes.PutAsync(pool, name, address, weight.Value), pool, user,
            _ => string.Create(CultureInfo.InvariantCulture, $"{address}, weight {weight}"));
    }

    /// <summary>Drains a backend, and removes it when nothing is in flight.</summary>
    public Task<ChangeResult> DeleteAsync(BackendPool pool, Backend backend, ManagementUser user) =>
        LoggedAsync(changes.DeleteAsync(pool, backend), pool, user, _ => "draining, then removed");

    /// <summary>Gives a backend settings that it has had before, and adds it again if it is gone.</summary>
    public Task<ChangeResult> RestoreAsync(BackendPool pool, string name, BackendSettings settings, ManagementUser user) =>
        EndpointAddress.TryParse(settings.Address, out var address, out _)
            ? LoggedAsync(
                changes.RestoreAsync(pool, name, address, settings.Weight, settings.AdminState), pool, user,
                backend => $"again {address}, {Settings(backend)}")
            : Wrong($"address \"{settings.Address}\" is not valid");

    /// <summary>Logs that the settings of a pool were changed.</summary>
    public void NotePool(BackendPool pool, PoolSettings settings, ManagementUser user) => LogPoolChanged(pool.Name, user, settings);

    private async Task<ChangeResult> LoggedAsync(
        Task<ChangeResult> change, BackendPool pool, ManagementUser user, Func<Backend, string> what)
    {
        var result = await change;
        if (result.Backend is { } backend)
        {
            LogChanged(pool.Name, backend.Name, user, what(backend));
        }
        return result;
    }

    private static string Settings(Backend backend) =>
        string.Create(CultureInfo.InvariantCulture, $"{backend.AdminState}, weight {backend.Weight}");

    private static Task<ChangeResult> Wrong(string error) => Task.FromResult(new ChangeResult(null, error));

    private bool IsClearing(BackendPool pool, JsonElement value) => value.ValueKind == JsonValueKind.Null && changes.CanClear(pool);

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
