using System.Collections;
using System.Globalization;
using System.Reflection;
using System.Text.Json.Nodes;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;

namespace LoadBalancer.Configuration.Reading;

/// <summary>Writes options as the configuration file has them, with every default, and without secrets.</summary>
internal static class OptionsJson
{
    /// <summary>What stands in the place of a secret.</summary>
    public const string Mask = "***";

    /// <summary>Writes a record of options. Settings without a value are left out.</summary>
    public static JsonObject Of(object options) => Record(options, isApi: false, _ => true);

    /// <summary>Writes those settings of a record that have something in them, with names as the API has them.</summary>
    /// <param name="options">The record.</param>
    /// <param name="names">The settings.</param>
    public static JsonObject Of(object options, IReadOnlyList<string> names) => Record(
        options, isApi: true,
        setting => names.Contains(setting.Name) && setting.GetValue(options) is not (false or ICollection { Count: 0 }));

    private static JsonObject Record(object options, bool isApi, Func<PropertyInfo, bool> isWanted)
    {
        var json = new JsonObject();
        foreach (var setting in OptionsBinder.SettingsOf(options.GetType()).Where(isWanted))
        {
            if (setting.GetValue(options) is { } value)
            {
                var name = isApi ? char.ToLowerInvariant(setting.Name[0]) + setting.Name[1..] : setting.Name;
                json[name] = setting.GetCustomAttribute<SecretAttribute>() is { } secret
                    ? secret.IsQuery ? AddressText.WithoutQuery(AddressText.WithoutCredentials((string)value)) : Value(value, true, isApi)
                    : Value(value, false, isApi);
            }
        }
        return json;
    }

    private static JsonNode Value(object value, bool isSecret, bool isApi) => value switch
    {
        IDictionary map => Map(map, isSecret, isApi),
        _ when isSecret => Mask,
        bool b => b,
        int i => i,
        long l => l,
        double d => d,
        string text => AddressText.WithoutCredentials(text),
        TimeSpan time => time.ToString("c", CultureInfo.InvariantCulture),
        Version version => version.Minor == 0 ? $"{version.Major}" : $"{version}",
        HedgeAfter { Delay: { } delay } => delay.ToString("c", CultureInfo.InvariantCulture),
        HedgeAfter after => string.Create(CultureInfo.InvariantCulture, $"p{after.Percentile}"),
        IEnumerable list => new JsonArray([.. list.Cast<object>().Select(item => Value(item, false, isApi))]),
        CompressionOptions compression when ReferenceEquals(compression, CompressionOptions.None) => "None",
        _ when value.GetType() is { IsClass: true } type && type.Namespace == typeof(LoadBalancerOptions).Namespace =>
            Record(value, isApi, _ => true),
        _ => AddressText.WithoutCredentials($"{value}"),
    };

    private static JsonObject Map(IDictionary map, bool isSecret, bool isApi)
    {
        var json = new JsonObject();
        foreach (DictionaryEntry entry in map)
        {
            json[(string)entry.Key] = entry.Value is null ? null : Value(entry.Value, isSecret, isApi);
        }
        return json;
    }
}
