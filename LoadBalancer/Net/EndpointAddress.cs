using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace LoadBalancer.Net;

/// <summary>Where a backend is or a listener listens: scheme, host and port, nothing more.</summary>
/// <param name="Scheme">
/// In lower case: <c>http</c>, <c>https</c>, <c>tcp</c>, <c>udp</c> or <c>unix</c>; with <c>srv+</c> in front of one of the first three the
/// host is the name of SRV records.
/// </param>
/// <param name="Host">
/// A DNS name or an IP address; an IPv6 address without its brackets. A listener's can be <c>*</c>: all local addresses. Of a Unix socket
/// the absolute path, or <c>@name</c> for one of Linux that has no file (unix(7): abstract).
/// </param>
/// <param name="Port">
/// 0..65535; 0 means "any free port" and only makes sense for a listener. <see cref="NoPort"/> where there is none, which only a
/// <c>tcp</c> address can have, and which a <c>srv+</c> address and a Unix socket always have.
/// </param>
public sealed record EndpointAddress(string Scheme, string Host, int Port)
{
    /// <summary>That no port was given.</summary>
    public const int NoPort = -1;

    private const string ServicePrefix = "srv+";

    /// <summary>The scheme of a Unix socket; what is spoken there, its pool or listener decides.</summary>
    public const string UnixScheme = "unix";

    private const string UnixStart = UnixScheme + ":";

    /// <summary>Whether it is a Unix socket.</summary>
    public bool IsUnix => Scheme == UnixScheme;

    /// <summary>Whether the host is a name, which can have any number of addresses.</summary>
    public bool IsName => !IsUnix && Host != "*" && !IPAddress.TryParse(Host, out _);

    /// <summary>
    /// <c>host:port</c> as a URI's authority writes it: IPv6 addresses in brackets. Of a Unix socket <c>localhost</c>, as curl has it.
    /// </summary>
    public string Authority => IsUnix ? "localhost" :
        (Host.Contains(':', StringComparison.Ordinal) ? $"[{Host}]" : Host)
        + (Port == NoPort ? "" : ":" + Port.ToString(CultureInfo.InvariantCulture));

    /// <summary>Whether it stands for all local addresses: <c>*</c>, 0.0.0.0 or ::.</summary>
    public bool IsAny => Host is "*" or "0.0.0.0" or "::";

    /// <summary>Whether it names a service, whose servers SRV records tell (RFC 2782).</summary>
    public bool IsService => Scheme.StartsWith(ServicePrefix, StringComparison.Ordinal);

    /// <summary>What is spoken there: the scheme without <c>srv+</c>.</summary>
    public string ServerScheme => IsService ? Scheme[ServicePrefix.Length..] : Scheme;

    /// <summary>Whether connections are relayed to it.</summary>
    public bool IsTcp => ServerScheme == "tcp";

    /// <summary>Whether only this machine can reach it: <c>localhost</c>, 127.0.0.0/8, ::1 or a Unix socket.</summary>
    public bool IsLoopback => IsUnix || Host == "localhost" || IPAddress.TryParse(Host, out var ip) && IPAddress.IsLoopback(ip);

    /// <summary>
    /// The most bytes of UTF-8 in the path of a Unix socket: what the structure of the system has room for, without the zero at its end.
    /// </summary>
    public static int MostPathBytes => OperatingSystem.IsMacOS() ? 103 : 107;

    /// <summary>What requests to it begin with: scheme and authority.</summary>
    public string HttpUrl => $"{(IsUnix ? "http" : Scheme)}://{Authority}";

    /// <summary>The Unix socket; only where it is one.</summary>
    internal UnixDomainSocketEndPoint UnixEndPoint => new(Host[0] == '@' ? "\0" + Host[1..] : Host);

    /// <summary>
    /// Reads <c>scheme://host:port</c> or <c>unix:/path</c>. With a host, a path, a query or user information is an error, because nothing
    /// here would use it. Without a port <c>http</c> has 80 and <c>https</c> 443 (RFC 9110 section 4.2); <c>tcp</c> has
    /// <see cref="NoPort"/>; with <c>udp</c> it is an error. <c>srv+http://name</c> must have none.
    /// </summary>
    /// <param name="text">What the configuration says.</param>
    /// <param name="address">The address, where the text is one.</param>
    /// <param name="error">What is wrong and what was expected, where it is not.</param>
    public static bool TryParse(string text, [NotNullWhen(true)] out EndpointAddress? address, out string error)
    {
        if (text.StartsWith(UnixStart, StringComparison.OrdinalIgnoreCase))
        {
            return TryParseUnix(text, out address, out error);
        }
        address = null;
        var shown = AddressText.WithoutCredentials(text);
        var invalid = $"'{shown}' is not a valid address; expected http://, https:// or tcp://host:port";
        error = invalid;

        var schemeEnd = text.IndexOf("://", StringComparison.Ordinal);
        if (schemeEnd < 0)
        {
            return false;
        }
        var scheme = text[..schemeEnd].ToLowerInvariant();
        var authority = text[(schemeEnd + 3)..].TrimEnd('/');
        if (scheme is not ("http" or "https" or "tcp" or "udp" or "srv+http" or "srv+https" or "srv+tcp")
            || authority.AsSpan().ContainsAny("/?#@ "))
        {
            return false;
        }

        var colon = authority.LastIndexOf(':');
        var hasPort = colon >= 0 && colon > authority.IndexOf(']', StringComparison.Ordinal);
        if (!hasPort && scheme == "udp")
        {
            error = $"'{shown}' has no port; expected {scheme}://host:port";
            return false;
        }
        var isService = scheme.StartsWith(ServicePrefix, StringComparison.Ordinal);
        if (hasPort && isService)
        {
            error = $"'{shown}' has a port; expected {scheme}://name, for the SRV records of the name tell the port";
            return false;
        }
        var portText = hasPort ? authority[(colon + 1)..] : "";
        if (!ushort.TryParse(portText, NumberStyles.None, CultureInfo.InvariantCulture, out var port) && hasPort)
        {
            error = $"'{shown}' has port '{portText}'; expected a number from 0 to 65535";
            return false;
        }
        var host = hasPort ? authority[..colon] : authority;
        var bracketed = host.StartsWith('[') && host.EndsWith(']');
        host = bracketed ? host[1..^1] : host;
        // The framework takes no name that begins with an underscore, as those of SRV records do.
        var kind = Uri.CheckHostName(isService ? host.Replace('_', 'x') : host);
        if (kind == UriHostNameType.Unknown && host != "*" || bracketed != (kind == UriHostNameType.IPv6))
        {
            return false;
        }
        if (isService && kind != UriHostNameType.Dns)
        {
            error = $"'{shown}' has no name; expected {scheme}://name, for example {scheme}://_http._tcp.web.internal";
            return false;
        }
        address = new EndpointAddress(scheme, host, hasPort ? port : DefaultPort(scheme));
        return true;
    }

    /// <summary><c>scheme://host:port</c>, or <c>unix:/path</c>.</summary>
    public override string ToString() => IsUnix ? UnixStart + Host : $"{Scheme}://{Authority}";

    // Also unix:///path, as a URI with an empty authority is written.
    private static bool TryParseUnix(string text, [NotNullWhen(true)] out EndpointAddress? address, out string error)
    {
        address = null;
        var path = text[UnixStart.Length..];
        path = path.StartsWith("///", StringComparison.Ordinal) ? path[2..] : path;
        var isAbstract = path.StartsWith('@');
        var size = Encoding.UTF8.GetByteCount(path);
        error = path.Any(char.IsControl) || path.Length < 2 || path.StartsWith("//", StringComparison.Ordinal) || path.EndsWith('/')
                || !isAbstract && !Path.IsPathFullyQualified(path)
                ? $"'{text}' is not the address of a Unix socket; expected unix: and the absolute path of its file, for example "
                    + "unix:/run/app.sock"
            : isAbstract && !OperatingSystem.IsLinux() ? $"'{text}' has no file, which is possible on Linux only; expected unix:/path"
            : size > MostPathBytes + (isAbstract ? 1 : 0)
                ? $"'{text}' has a path of {size} bytes; expected {MostPathBytes} at the most, which is a limit of the system"
            : "";
        address = error.Length == 0 ? new EndpointAddress(UnixScheme, path, NoPort) : null;
        return address is not null;
    }

    private static int DefaultPort(string scheme) => scheme switch { "http" => 80, "https" => 443, _ => NoPort };
}
