using System.Globalization;

namespace LoadBalancer.Pools;

/// <summary>How many requests a backend may have at once, as an operator says it.</summary>
/// <param name="Count">So many; null: see <paramref name="IsAuto"/>.</param>
/// <param name="IsAuto">
/// Whether the limit is found by response times, see <see cref="AdaptiveLimit"/>; false and no count: no limit.
/// </param>
public readonly record struct InFlightLimit(int? Count, bool IsAuto = false)
{
    /// <summary>As many as there are.</summary>
    public static InFlightLimit None { get; } = new(null);

    /// <summary>What the response times tell.</summary>
    public static InFlightLimit Auto { get; } = new(null, IsAuto: true);

    /// <summary>So many.</summary>
    public static implicit operator InFlightLimit(int count) => new(count);

    /// <inheritdoc/>
    public override string ToString() => IsAuto ? nameof(Auto) : Count?.ToString(CultureInfo.InvariantCulture) ?? nameof(None);
}
