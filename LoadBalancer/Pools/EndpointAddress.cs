using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace LoadBalancer.Pools;

/// <summary>Where a backend is or a listener listens: scheme, host and port, nothing more.</summary>
/// <param name="Scheme">In lower case: <c>http</c>, <c>https</c> or <c>tcp</c>.</param>
/// <param name="Host">A DNS name or an IP address; an IPv6 address without its brackets.</param>
/// <param name="Port">0..65535; 0 means "any free port" and only makes sense for a listener.</param>
public sealed record EndpointAddress(string Scheme, string Host, int Port)
{
    /// <summary><c>host:port</c> as a URI's authority writes it: IPv6 addresses in brackets.</summary>
    public string Authority { get; } = (Host.Contains(':', StringComparison.Ordinal) ? $"[{Host}]" : Host)
                                       + ":" + Port.ToString(CultureInfo.InvariantCulture);

    /// <summary>
    /// Reads <c>scheme://host:port</c>. A path, a query or user information is refused, because nothing here would honour it;
    /// so is a missing port, because a guessed one (80, 443) is rarely what was meant.
    /// </summary>
    /// <param name="text">What the configuration says.</param>
    /// <param name="address">The address, where the text is one.</param>
    /// <param name="error">What is wrong and what was expected, where it is not.</param>
    public static bool TryParse(string text, [NotNullWhen(true)] out EndpointAddress? address, out string error)
    {
        address = null;
        var invalid = $"'{text}' is not a valid address; expected http://, https:// or tcp://host:port";
        error = invalid;

        var schemeEnd = text.IndexOf("://", StringComparison.Ordinal);
        if (schemeEnd < 0)
        {
            return false;
        }
        var scheme = text[..schemeEnd].ToLowerInvariant();
        var authority = text[(schemeEnd + 3)..].TrimEnd('/');
        if (scheme is not ("http" or "https" or "tcp") || authority.AsSpan().ContainsAny("/?#@ "))
        {
            return false;
        }

        var colon = authority.LastIndexOf(':');
        if (colon < 0 || colon < authority.IndexOf(']', StringComparison.Ordinal))
        {
            error = $"'{text}' has no port; expected {scheme}://host:port";
            return false;
        }
        var portText = authority[(colon + 1)..];
        if (!ushort.TryParse(portText, NumberStyles.None, CultureInfo.InvariantCulture, out var port))
        {
            error = $"'{text}' has port '{portText}'; expected a number from 0 to 65535";
            return false;
        }
        var host = authority[..colon];
        var bracketed = host.StartsWith('[') && host.EndsWith(']');
        host = bracketed ? host[1..^1] : host;
        var kind = Uri.CheckHostName(host);
        if (kind == UriHostNameType.Unknown && host != "*" || bracketed != (kind == UriHostNameType.IPv6))
        {
            return false;
        }
        address = new EndpointAddress(scheme, host, port);
        return true;
    }

    /// <summary><c>scheme://host:port</c>.</summary>
    public override string ToString() => $"{Scheme}://{Authority}";
}
