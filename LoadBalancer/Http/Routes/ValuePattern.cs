namespace LoadBalancer.Http.Routes;

/// <summary>A value in which <c>*</c> stands for any text, also for none. Case-sensitive.</summary>
internal sealed class ValuePattern(string text)
{
    private readonly string[] _parts = text.Split('*');

    /// <summary>Whether a value matches.</summary>
    public bool Matches(ReadOnlySpan<char> value)
    {
        if (_parts is [var whole])
        {
            return value.SequenceEqual(whole);
        }
        var (first, last) = (_parts[0], _parts[^1]);
        if (value.Length < first.Length + last.Length || !value.StartsWith(first, StringComparison.Ordinal)
            || !value.EndsWith(last, StringComparison.Ordinal))
        {
            return false;
        }
        var rest = value[first.Length..^last.Length];
        for (var i = 1; i < _parts.Length - 1; i++)
        {
            var at = rest.IndexOf(_parts[i], StringComparison.Ordinal);
            if (at < 0)
            {
                return false;
            }
            rest = rest[(at + _parts[i].Length)..];
        }
        return true;
    }
}
