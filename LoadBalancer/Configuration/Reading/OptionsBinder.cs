using System.Collections;
using System.Globalization;
using System.Net;
using System.Reflection;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;

namespace LoadBalancer.Configuration.Reading;

/// <summary>
/// Turns configuration sections into options records. Unlike the framework's binder it goes on after an error, so that a user sees
/// all of them at once, and takes an unknown key for the typing error that it is.
/// </summary>
/// <param name="errors">Where errors are added.</param>
/// <param name="fileOrder">
/// The configuration keys in the order of the file. The framework hands children out by name, but a policy such as First goes by
/// the order in which a user wrote the backends down.
/// </param>
internal sealed class OptionsBinder(List<ConfigurationError> errors, IEnumerable<string> fileOrder)
{
    private readonly Dictionary<string, int> _position =
        fileOrder.Index().ToDictionary(key => key.Item, key => key.Index, StringComparer.OrdinalIgnoreCase);

    /// <summary>Binds a section to a new record; what is absent or wrong keeps its default.</summary>
    public T Bind<T>(IConfigurationSection section) where T : new() => (T)BindRecord(section, typeof(T));

    /// <summary>Reports each key of a section that is not one of those known.</summary>
    public void RefuseUnknownKeys(IEnumerable<IConfigurationSection> children, IReadOnlyCollection<string> known)
    {
        foreach (var child in children.Where(child => !known.Contains(child.Key, StringComparer.OrdinalIgnoreCase)))
        {
            errors.Add(new(child.Path, "unknown key" + NearestName.Hint(child.Key, known)));
        }
    }

    private object BindRecord(IConfigurationSection section, Type type)
    {
        var record = Activator.CreateInstance(type)!;
        var properties = type.GetProperties(BindingFlags.Public | BindingFlags.Instance);
        if (section.Value is not (null or JsonFile.ObjectMark))
        {
            errors.Add(new(section.Path, $"'{section.Value}' is not an object; expected {{ {string.Join(", ", properties.Select(p => p.Name))} }}"));
            return record;
        }
        RefuseUnknownKeys(section.GetChildren(), [.. properties.Select(property => property.Name)]);
        foreach (var property in properties)
        {
            var child = section.GetSection(property.Name);
            if (child.Exists() && BindValue(child, property.PropertyType) is { } value)
            {
                property.SetValue(record, value);
            }
        }
        return record;
    }

    private object? BindValue(IConfigurationSection section, Type type)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (type.IsGenericType && type.GetGenericTypeDefinition() == typeof(IReadOnlyDictionary<,>))
        {
            return BindDictionary(section, type.GetGenericArguments()[1]);
        }
        if (type.IsGenericType && type.GetGenericTypeDefinition() == typeof(IReadOnlyList<>))
        {
            return BindList(section, type.GetGenericArguments()[0]);
        }
        return type.Namespace == typeof(LoadBalancerOptions).Namespace && type.IsClass
            ? BindRecord(section, type)
            : BindScalar(section, type);
    }

    private IDictionary BindDictionary(IConfigurationSection section, Type valueType)
    {
        var values = (IDictionary)Activator.CreateInstance(
            typeof(Dictionary<,>).MakeGenericType(typeof(string), valueType), StringComparer.OrdinalIgnoreCase)!;
        var children = section.GetChildren().ToList();
        if (section.Value is not (null or JsonFile.ObjectMark))
        {
            errors.Add(new(section.Path, "expected an object with a name for each entry"));
            return values;
        }
        foreach (var child in children.OrderBy(child => _position.GetValueOrDefault(child.Path, int.MaxValue)))
        {
            values[child.Key] = BindValue(child, valueType);
        }
        return values;
    }

    private Array BindList(IConfigurationSection section, Type itemType)
    {
        var children = section.GetChildren().ToList();
        if (section.Value is not (null or JsonFile.ListMark))
        {
            errors.Add(new(section.Path, "expected a list"));
            return Array.CreateInstance(itemType, 0);
        }
        var items = children.Select(child => BindValue(child, itemType)).Where(item => item is not null).ToList();
        var list = Array.CreateInstance(itemType, items.Count);
        for (var i = 0; i < items.Count; i++)
        {
            list.SetValue(items[i], i);
        }
        return list;
    }

    private object? BindScalar(IConfigurationSection section, Type type)
    {
        if (section.GetChildren().Any() || section.Value is JsonFile.ObjectMark or JsonFile.ListMark)
        {
            errors.Add(new(section.Path, $"is an object or a list; expected {Expected(type)}"));
            return null;
        }
        var text = section.Value ?? "";
        string? error = null;
        object? value = type switch
        {
            _ when type == typeof(string) => text,
            _ when type == typeof(bool) => bool.TryParse(text, out var b) ? b : null,
            _ when type == typeof(int) => int.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var i) ? i : null,
            _ when type == typeof(long) => long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var l) ? l : null,
            _ when type == typeof(double) => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var d) ? d : null,
            _ when type == typeof(TimeSpan) => ParseDuration(text),
            _ when type == typeof(EndpointAddress) => EndpointAddress.TryParse(text, out var address, out error) ? address : null,
            _ when type == typeof(IPNetwork) => ParseNetwork(text),
            _ when type == typeof(IPAddress) => IPAddress.TryParse(text, out var ip) ? ip : null,
            _ when type == typeof(HedgeAfter) => ParseHedgeAfter(text),
            _ when type == typeof(Version) => text switch { "1.1" => HttpVersion.Version11, "2" or "2.0" => HttpVersion.Version20, _ => null },
            _ when type.IsEnum => ParseName(text, type),
            _ => throw new NotSupportedException($"{section.Path}: no way to read a {type.Name}"),
        };
        if (value is null)
        {
            var hint = type.IsEnum ? NearestName.Hint(text, Enum.GetNames(type)) : "";
            errors.Add(new(section.Path, error ?? $"'{text}' is not valid; expected {Expected(type)}{hint}"));
        }
        return value;
    }

    // TimeSpan reads "30" as thirty days, which nobody means.
    private static TimeSpan? ParseDuration(string text) =>
        text.Contains(':', StringComparison.Ordinal) && TimeSpan.TryParse(text, CultureInfo.InvariantCulture, out var duration) ? duration : null;

    private static HedgeAfter? ParseHedgeAfter(string text) =>
        ParseDuration(text) is { } delay ? new HedgeAfter(delay, 0)
        : text is ['p' or 'P', .. var number] && double.TryParse(number, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var percentile)
          && percentile is > 0 and < 100 ? new HedgeAfter(null, percentile)
        : null;

    // A single address is a network of its own.
    private static IPNetwork? ParseNetwork(string text) =>
        IPNetwork.TryParse(text, out var network) ? network
        : IPAddress.TryParse(text, out var address) ? new IPNetwork(address, address.GetAddressBytes().Length * 8)
        : null;

    // Enum.Parse also takes numbers and lists of names.
    private static object? ParseName(string text, Type type) =>
        Enum.GetNames(type).FirstOrDefault(name => name.Equals(text, StringComparison.OrdinalIgnoreCase)) is { } name ? Enum.Parse(type, name) : null;

    private static string Expected(Type type) => type switch
    {
        _ when type == typeof(bool) => "true or false",
        _ when type == typeof(int) || type == typeof(long) => "a whole number",
        _ when type == typeof(IPNetwork) => "an address or a network, for example 10.0.0.0/8",
        _ when type == typeof(IPAddress) => "an IP address, for example 127.0.0.1",
        _ when type == typeof(double) => "a number",
        _ when type == typeof(Version) => "1.1 or 2",
        _ when type == typeof(TimeSpan) => "a duration as hours:minutes:seconds, for example 00:00:30",
        _ when type == typeof(HedgeAfter) => "a percentile, for example p95, or a duration, for example 00:00:00.200",
        _ when type == typeof(EndpointAddress) => "an address, for example http://127.0.0.1:8080",
        _ when type.IsEnum => string.Join(" or ", Enum.GetNames(type)),
        _ => "a text",
    };
}
