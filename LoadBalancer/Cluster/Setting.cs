namespace LoadBalancer.Cluster;

/// <summary>What an operator has set, and when. Of two that were set, the later one holds.</summary>
/// <typeparam name="T">What was set; null says "as the file has it".</typeparam>
/// <param name="Value">The value.</param>
/// <param name="Time">When it was set, by the clock of the node that was asked; later than everything that node knew.</param>
/// <param name="Node">That node.</param>
internal sealed record Setting<T>(T Value, DateTimeOffset Time, string Node)
{
    /// <summary>The one of two that holds. Which is given first does not matter, also where their times are the same.</summary>
    public static Setting<T>? Later(Setting<T>? one, Setting<T>? other)
    {
        if (one is null || other is null)
        {
            return one ?? other;
        }
        var order = one.Time.CompareTo(other.Time);
        order = order != 0 ? order : string.CompareOrdinal(one.Node, other.Node);
        order = order != 0 ? order : string.CompareOrdinal($"{one.Value}", $"{other.Value}");
        return order < 0 ? other : one;
    }
}
