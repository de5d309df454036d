using System.Globalization;
using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Configuration.Reading;

/// <summary>Reads the text of one setting into the type that the setting has.</summary>
internal static class SettingText
{
    private static readonly CultureInfo Invariant = CultureInfo.InvariantCulture;

    /// <summary>The value; null where the text is not valid.</summary>
    /// <param name="text">What the configuration says.</param>
    /// <param name="type">The type of the setting.</param>
    /// <param name="error">What is wrong and what was expected, where it is not valid.</param>
    public static object? Read(string text, Type type, out string error)
    {
        string? reason = null;
        object? value = type switch
        {
            _ when type == typeof(string) => text,
            _ when type == typeof(bool) => bool.TryParse(text, out var b) ? b : null,
            _ when type == typeof(int) => int.TryParse(text, NumberStyles.AllowLeadingSign, Invariant, out var i) ? i : null,
            _ when type == typeof(long) => long.TryParse(text, NumberStyles.AllowLeadingSign, Invariant, out var l) ? l : null,
            _ when type == typeof(double) => double.TryParse(text, NumberStyles.Float, Invariant, out var d) ? d : null,
            _ when type == typeof(TimeSpan) => DurationText.Parse(text, out reason),
            _ when type == typeof(EndpointAddress) => EndpointAddress.TryParse(text, out var address, out reason) ? address : null,
            _ when type == typeof(IPNetwork) => ParseNetwork(text),
            _ when type == typeof(IPAddress) => IPAddress.TryParse(text, out var ip) ? ip : null,
            _ when type == typeof(HedgeAfter) => ParseHedgeAfter(text, out reason),
            _ when type == typeof(InFlightLimit) => ParseLimit(text),
            _ when type == typeof(Version) => ParseVersion(text),
            _ when type == typeof(HttpVersions) => HttpVersions.Parse(text),
            _ when type.IsEnum => ParseName(text, type),
            _ => throw new NotSupportedException($"no way to read a {type.Name}"),
        };
        var hint = value is null && type.IsEnum ? NearestName.Hint(text, Enum.GetNames(type)) : "";
        error = value is not null ? "" : reason ?? $"'{text}' is not valid; expected {Expected(type)}{hint}";
        return value;
    }

    /// <summary>What a setting of this type can be, in words.</summary>
    public static string Expected(Type type) => type switch
    {
        _ when type == typeof(bool) => "true or false",
        _ when type == typeof(int) || type == typeof(long) => "a whole number",
        _ when type == typeof(IPNetwork) => "an address or a network, for example 10.0.0.0/8",
        _ when type == typeof(IPAddress) => "an IP address, for example 127.0.0.1",
        _ when type == typeof(double) => "a number",
        _ when type == typeof(Version) => "1.1 or 2",
        _ when type == typeof(InFlightLimit) => "a whole number, Auto or None",
        _ when type == typeof(HttpVersions) => "1.1, 2 or 1.1+2",
        _ when type == typeof(TimeSpan) => DurationText.Expected,
        _ when type == typeof(HedgeAfter) => "a percentile, for example p95, or a duration, for example 200ms",
        _ when type == typeof(EndpointAddress) => "an address, for example http://127.0.0.1:8080",
        _ when type.IsEnum => string.Join(" or ", Enum.GetNames(type)),
        _ => "a text",
    };

    private static HedgeAfter? ParseHedgeAfter(string text, out string? reason)
    {
        if (DurationText.Parse(text, out reason) is { } delay)
        {
            return new HedgeAfter(delay, 0);
        }
        reason = text.Contains(':', StringComparison.Ordinal) ? reason : null; // A percentile is expected too.
        return text is ['p' or 'P', .. var number] && double.TryParse(number, NumberStyles.AllowDecimalPoint, Invariant, out var percentile)
            && percentile is > 0 and < 100 ? new HedgeAfter(null, percentile) : null;
    }

    private static InFlightLimit? ParseLimit(string text) =>
        text.Equals(nameof(InFlightLimit.Auto), StringComparison.OrdinalIgnoreCase) ? InFlightLimit.Auto
        : text.Equals(nameof(InFlightLimit.None), StringComparison.OrdinalIgnoreCase) ? InFlightLimit.None
        : int.TryParse(text, NumberStyles.AllowLeadingSign, Invariant, out var count) ? count
        : null;

    private static Version? ParseVersion(string text) =>
        text switch { "1.1" => HttpVersion.Version11, "2" or "2.0" => HttpVersion.Version20, _ => null };

    // A single address is a network of its own.
    private static IPNetwork? ParseNetwork(string text) =>
        text == UnixPeers.Name ? UnixPeers.Network
        : IPNetwork.TryParse(text, out var network) ? network
        : IPAddress.TryParse(text, out var address) ? new IPNetwork(address, address.GetAddressBytes().Length * 8)
        : null;

    // Enum.Parse also takes numbers and lists of names.
    private static object? ParseName(string text, Type type)
    {
        var named = Enum.GetNames(type).FirstOrDefault(name => name.Equals(text, StringComparison.OrdinalIgnoreCase));
        return named is null ? null : Enum.Parse(type, named);
    }
}
