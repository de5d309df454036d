using System.Collections;
using System.Reflection;

namespace LoadBalancer.Configuration.Options;

/// <summary>Says of a listener's setting whom it is for, and whether it can change while the listener runs.</summary>
/// <param name="protocols">The protocols that it is for; none named: all.</param>
[AttributeUsage(AttributeTargets.Property)]
internal sealed class SettingAttribute(params ListenerProtocol[] protocols) : Attribute
{
    private PropertyInfo _property = null!;

    /// <summary>Every setting that a listener has.</summary>
    public static IReadOnlyList<SettingAttribute> Listener { get; } = [.. typeof(ListenerOptions).GetProperties(BindingFlags.Public | BindingFlags.Instance).Select(Of)];

    /// <summary>Whether it can change while the listener runs.</summary>
    public bool IsLive { get; init; }

    /// <summary>Its name.</summary>
    public string Name => _property.Name;

    /// <summary>The protocols that it is for, in words.</summary>
    public string Protocols => string.Join(" and ", protocols);

    /// <summary>Whether it is for this protocol.</summary>
    public bool IsFor(ListenerProtocol protocol) => protocols.Length == 0 || protocols.Contains(protocol);

    /// <summary>Whether it is the same here and there.</summary>
    public bool IsSame(ListenerOptions here, ListenerOptions there) =>
        _property.GetValue(here) is IList list ? list.Cast<object>().SequenceEqual(((IList)_property.GetValue(there)!).Cast<object>()) : Equals(_property.GetValue(here), _property.GetValue(there));

    private static SettingAttribute Of(PropertyInfo property)
    {
        var setting = property.GetCustomAttribute<SettingAttribute>() ?? throw new InvalidOperationException($"{property.Name} does not say whom it is for");
        setting._property = property;
        return setting;
    }
}
