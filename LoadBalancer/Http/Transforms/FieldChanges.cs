using System.Collections.Frozen;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Messages;
using Microsoft.Extensions.Primitives;

namespace LoadBalancer.Http.Transforms;

/// <summary>Changes of a message's header fields, compiled.</summary>
internal sealed class FieldChanges
{
    private readonly FrozenSet<string> _dropped; // with - for each _
    private readonly string[] _removed;
    private readonly (string Name, ValueTemplate Value)[] _new;

    private FieldChanges(FieldChangeOptions options)
    {
        _removed = [.. options.Remove, .. options.Set.Keys];
        _dropped = _removed.Select(ProvedIdentity.AsVariable).ToFrozenSet(StringComparer.OrdinalIgnoreCase);
        _new = [.. options.Set.Concat(options.Add).Select(entry => (entry.Key, ValueTemplate.Parse(entry.Value)))];
    }

    /// <summary>Compiles valid options; null where they change nothing.</summary>
    public static FieldChanges? Of(FieldChangeOptions options) => options.IsEmpty ? null : new FieldChanges(options);

    /// <summary>Whether a field of a request goes: it, or one that a server may take for it, is removed or replaced.</summary>
    public bool Drops(string name) => _dropped.Contains(ProvedIdentity.AsVariable(name));

    /// <summary>The fields that are new, with values that have at least one character.</summary>
    /// <exception cref="ForwardException">A value cannot be sent.</exception>
    public IEnumerable<(string Name, string Value)> NewFields(RoutedRequest request, string backend)
    {
        foreach (var (name, template) in _new)
        {
            var value = template.Expand(request, backend);
            if (!IsSendable(value))
            {
                throw new ForwardException(ForwardError.RequestHead, $"a value for the field {name} cannot be sent");
            }
            if (value.Length > 0)
            {
                yield return (name, value);
            }
        }
    }

    /// <summary>Changes the fields of a response.</summary>
    public void ApplyTo(IHeaderDictionary fields, RoutedRequest request, string? backend)
    {
        foreach (var name in _removed)
        {
            fields.Remove(name);
        }
        foreach (var (name, template) in _new)
        {
            // What a client has sent must not make a response that cannot be sent.
            if (template.Expand(request, backend) is { Length: > 0 } value && IsSendable(value))
            {
                fields[name] = StringValues.Concat(fields[name], value);
            }
        }
    }

    /// <summary>Whether a value can be sent in a field, which has bytes of Latin-1.</summary>
    public static bool IsSendable(string value) => RequestRules.IsFieldValue(value) && !value.AsSpan().ContainsAnyExceptInRange('\0', 'ÿ');
}
