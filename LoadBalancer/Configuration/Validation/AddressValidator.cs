using System.Net;
using LoadBalancer.Net;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Checks the addresses that the node listens on, and that no two of them are the same.</summary>
internal sealed class AddressValidator
{
    /// <summary>What listens for operators, in words. It may be a backend: so it is reached by a listener with TLS and routes.</summary>
    public const string Management = "listener 'management'";

    private readonly LocalAddresses _ofMachine = new(TimeProvider.System);
    private readonly List<(EndpointAddress Address, string User)> _taken = [];

    /// <summary>Requires an address that can be listened on and that nothing else listens on.</summary>
    /// <param name="section">Where it is in the configuration.</param>
    /// <param name="key">Its key there.</param>
    /// <param name="user">What listens there, in words.</param>
    /// <param name="wanted">The address; null where it is missing.</param>
    /// <param name="example">An example of one.</param>
    /// <param name="schemes">The schemes that it can have.</param>
    public void Check(SectionValidator section, string key, string user, EndpointAddress? wanted, string example, params string[] schemes)
    {
        section.Require(wanted is not null, key, $"is missing; expected for example {example}");
        if (wanted is not { } address)
        {
            return;
        }
        if (address.IsUnix && schemes.Contains(EndpointAddress.UnixScheme))
        {
            Take(section, key, user, address);
            return;
        }
        var expected = string.Join(
            " or ", schemes.Where(scheme => scheme != EndpointAddress.UnixScheme).Select(scheme => $"{scheme}://host:port"));
        section.Require(schemes.Contains(address.Scheme), key, $"'{address}' does not fit here; expected {expected}");
        section.Require(address.Port != EndpointAddress.NoPort, key, $"'{address}' has no port; expected {address.Scheme}://host:port");
        CheckHost(section, key, address);
        section.Require(address is not { Host: "localhost", Port: 0 }, key,
            $"localhost is two addresses, which cannot share a free port; expected for example {address.Scheme}://127.0.0.1:0");
        Take(section, key, user, address);
    }

    /// <summary>Requires a mode that can be set, where there is one, and a Unix socket that it is for.</summary>
    public static void CheckMode(SectionValidator section, EndpointAddress? address, string? mode)
    {
        section.Require(mode is null || UnixSocketMode.Parse(mode) is not null, "SocketMode",
            $"'{mode}' is not the mode of a file; expected octal digits, for example 0660");
        section.Require(mode is null || address is null || address.IsUnix && address.Host[0] != '@', "SocketMode",
            $"is of no use for '{address}'; expected an Address with unix:/path");
        section.Require(mode is null || !OperatingSystem.IsWindows(), "SocketMode", "cannot be set on Windows");
    }

    /// <summary>Requires a host that is this machine's.</summary>
    public static void CheckHost(SectionValidator section, string key, EndpointAddress address) =>
        section.Require(address.Host is "*" or "localhost" || IPAddress.TryParse(address.Host, out _), key,
            $"'{address.Host}' is not a local address; expected an IP address, localhost, or * for all");

    /// <summary>Requires that nothing else listens on an address, and takes it.</summary>
    public void Take(SectionValidator section, string key, string user, EndpointAddress address)
    {
        var rival = _taken.FirstOrDefault(other => Overlap(other.Address, address)).User;
        section.Require(rival is null, key, $"{address} is already taken by {rival}");
        _taken.Add((address, user));
    }

    /// <summary>The listener for clients that a backend's address is of, in words; null where it is of none.</summary>
    public string? FindListener(EndpointAddress backend)
    {
        if (backend.IsUnix)
        {
            return _taken.FirstOrDefault(taken => taken.User != Management && taken.Address == backend).User;
        }
        var sought = backend with { Host = backend.Host.ToLowerInvariant() };
        return _taken.FirstOrDefault(taken => taken.User != Management && taken.Address.Port == sought.Port && sought.Port > 0
            && taken.Address.Scheme != "udp" && Reaches(sought, taken.Address)).User;
    }

    // Names are not looked up: what they mean may change.
    private bool Reaches(EndpointAddress backend, EndpointAddress listener) =>
        backend.Host == listener.Host || IsPartOf(backend, listener) || IsPartOf(listener, backend)
        || backend.IsAny && (listener.IsAny || listener.IsLoopback)
        || listener.IsAny && (backend.IsLoopback
            || IpPort.Of(backend) is { } address && _ofMachine.Contains(address));

    // Port 0 is a different free port each time. UDP has ports of its own.
    private static bool Overlap(EndpointAddress a, EndpointAddress b) =>
        a.IsUnix == b.IsUnix && a.Port == b.Port && a.Port != 0 && a.Scheme == "udp" == (b.Scheme == "udp")
        && (a.Host == b.Host || a.IsAny || b.IsAny || IsPartOf(a, b) || IsPartOf(b, a));

    // localhost is these two.
    private static bool IsPartOf(EndpointAddress one, EndpointAddress other) =>
        other.Host == "localhost" && one.Host is "127.0.0.1" or "::1";
}
