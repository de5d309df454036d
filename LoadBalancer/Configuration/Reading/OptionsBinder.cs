using System.Collections;
using System.Diagnostics.CodeAnalysis;
using System.Net;
using System.Reflection;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Configuration.Reading;

/// <summary>
/// Turns configuration sections into options records. Unlike the framework's binder it goes on after an error, so that a user sees
/// all of them at once, and reports unknown keys, which are typing errors.
/// </summary>
/// <param name="errors">Where errors are added.</param>
/// <param name="fileOrder">
/// The configuration keys in the order of the file. The framework sorts children by name, but a policy such as First depends on the
/// order in which the user wrote the backends.
/// </param>
/// <param name="directory">The directory of the file, for paths that are relative to it.</param>
[UnconditionalSuppressMessage("Trimming", "IL2067", Justification = KeptWhole)]
[UnconditionalSuppressMessage("Trimming", "IL2070", Justification = KeptWhole)]
[UnconditionalSuppressMessage("Trimming", "IL2072", Justification = KeptWhole)]
[UnconditionalSuppressMessage("AOT", "IL3050", Justification = "the options' defaults have each type of a collection too")]
internal sealed class OptionsBinder(List<ConfigurationError> errors, IEnumerable<string> fileOrder, string directory)
{
    private const string KeptWhole = "the program's own assembly is kept whole (TrimmerRootAssembly)";

    /// <summary>Every setting that a listener can have, by its key, once for each protocol that it is for.</summary>
    private static readonly ILookup<string, (ListenerProtocol Protocol, PropertyInfo Property)> SettingsOfListeners =
        (from protocol in Enum.GetValues<ListenerProtocol>()
         from property in SettingsOf(TypeOf(protocol))
         select (protocol, property)).ToLookup(setting => setting.property.Name, StringComparer.OrdinalIgnoreCase);

    private readonly Dictionary<string, int> _position =
        fileOrder.Index().ToDictionary(key => key.Item, key => key.Index, StringComparer.OrdinalIgnoreCase);

    /// <summary>Binds a section to a new record; what is absent or wrong keeps its default.</summary>
    public T Bind<T>(IConfigurationSection section) where T : new() => (T)BindRecord(section, typeof(T));

    /// <summary>Reports each key of a section that is not one of those known.</summary>
    /// <param name="children">The keys of the section.</param>
    /// <param name="known">Those that are known.</param>
    /// <param name="expected">Those of them that are of use there, for the message; null: all.</param>
    public void RefuseUnknownKeys(
        IEnumerable<IConfigurationSection> children, IReadOnlyCollection<string> known, IEnumerable<string>? expected = null)
    {
        foreach (var child in children.Where(child => !known.Contains(child.Key, StringComparer.OrdinalIgnoreCase)))
        {
            errors.Add(new(child.Path, NearestName.UnknownKey(child.Key, known, expected)));
        }
    }

    private object BindRecord(IConfigurationSection section, Type type, IReadOnlyCollection<string>? known = null)
    {
        if (type == typeof(CompressionOptions) && "None".Equals(section.Value, StringComparison.OrdinalIgnoreCase))
        {
            return CompressionOptions.None;
        }
        var record = Activator.CreateInstance(type)!;
        var properties = SettingsOf(type);
        if (section.Value is not (null or JsonFile.ObjectMark))
        {
            var expected = string.Join(", ", properties.Select(property => property.Name));
            var orNone = type == typeof(CompressionOptions) ? " or None" : "";
            errors.Add(new(section.Path, $"'{section.Value}' is not an object; expected {{ {expected} }}{orNone}"));
            return record;
        }
        string[] names = [.. properties.Select(property => property.Name)];
        RefuseUnknownKeys(section.GetChildren(), known ?? names, names);
        foreach (var property in properties.Where(property => property.CanWrite))
        {
            var child = section.GetSection(property.Name);
            if (child.Exists() && BindValue(child, property.PropertyType) is { } value)
            {
                var isPath = property.IsDefined(typeof(BesideConfigurationAttribute));
                property.SetValue(record, isPath ? BesideConfiguration(value) : value);
            }
        }
        return record;
    }

    private object? BesideConfiguration(object? value) => value switch
    {
        string { Length: > 0 } path => Path.GetFullPath(path, directory),
        Dictionary<string, string?> paths => paths.ToDictionary(
            entry => entry.Key, entry => (string?)BesideConfiguration(entry.Value), StringComparer.OrdinalIgnoreCase),
        _ => value,
    };

    // The key Protocol says which type a listener's options are of.
    private object BindListener(IConfigurationSection section)
    {
        var key = section.GetSection(nameof(ListenerOptions.Protocol));
        var protocol = key.Exists() && BindValue(key, typeof(ListenerProtocol)) is ListenerProtocol named ? named : ListenerProtocol.Http;
        var listener = BindRecord(section, TypeOf(protocol), [.. SettingsOfListeners.Select(setting => setting.Key)]);
        foreach (var child in section.GetChildren())
        {
            var types = SettingsOfListeners[child.Key].ToList();
            if (types.Count > 0 && !types.Exists(setting => setting.Protocol == protocol) && ChangesAnything(child, types[0].Property))
            {
                var protocols = string.Join(" and ", types.Select(setting => setting.Protocol));
                errors.Add(new(child.Path, $"is for {protocols} listeners; this one's Protocol is {protocol}"));
            }
        }
        return listener;
    }

    // A setting of another protocol is not an error as long as it has its default value.
    private bool ChangesAnything(IConfigurationSection section, PropertyInfo property) =>
        section.Exists() && BindValue(section, property.PropertyType) is { } value
        && !ListenerOptions.IsSame(value, property.GetValue(Activator.CreateInstance(property.ReflectedType!)));

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
        if (type == typeof(ListenerOptions))
        {
            return BindListener(section);
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
            // null is a value where texts are expected; elsewhere it is the same as leaving the entry out.
            if (child.Exists() && BindValue(child, valueType) is { } value)
            {
                values[child.Key] = value;
            }
            else if (!child.Exists() && valueType == typeof(string))
            {
                values[child.Key] = null;
            }
        }
        return values;
    }

    private Array BindList(IConfigurationSection section, Type itemType)
    {
        var children = section.GetChildren().Where(child => child.Exists()).ToList();
        if (section.Value is not (null or JsonFile.ListMark or JsonFile.ObjectMark) && itemType == typeof(string))
        {
            return new[] { section.Value }; // A text stands for a list of one.
        }
        if (itemType == typeof(IPNetwork) && "None".Equals(section.Value, StringComparison.OrdinalIgnoreCase))
        {
            return Array.Empty<IPNetwork>();
        }
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
            errors.Add(new(section.Path, $"is an object or a list; expected {SettingText.Expected(type)}"));
            return null;
        }
        var value = SettingText.Read(section.Value ?? "", type, out var error);
        if (value is null)
        {
            errors.Add(new(section.Path, error));
        }
        return value;
    }

    /// <summary>The settings that an options type has. Those that every listener has come before those of its protocol.</summary>
    internal static PropertyInfo[] SettingsOf(Type type) =>
        [.. type.GetProperties(BindingFlags.Public | BindingFlags.Instance).OrderBy(property => property.DeclaringType == type)];

    /// <summary>The type of a listener's options.</summary>
    internal static Type TypeOf(ListenerProtocol protocol) => protocol switch
    {
        ListenerProtocol.Http => typeof(HttpListenerOptions),
        ListenerProtocol.Tcp => typeof(TcpListenerOptions),
        ListenerProtocol.Tasks => typeof(TasksListenerOptions),
        ListenerProtocol.Broker => typeof(BrokerListenerOptions),
    };
}
