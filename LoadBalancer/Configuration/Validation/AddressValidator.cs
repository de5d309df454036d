using System.Net;
using LoadBalancer.Net;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Checks the addresses that the node listens on, and that no two of them are the same.</summary>
internal sealed class AddressValidator(Requirement require)
{
    private readonly List<(EndpointAddress Address, string User)> _taken = [];

    /// <summary>Requires an address that can be listened on and that nobody else listens on.</summary>
    /// <param name="path">Where it stands.</param>
    /// <param name="user">Who listens there, in words.</param>
    /// <param name="wanted">The address.</param>
    /// <param name="example">What one looks like.</param>
    /// <param name="schemes">What it may begin with.</param>
    public void Check(string path, string user, EndpointAddress? wanted, string example, params string[] schemes)
    {
        require(wanted is not null, path, $"is missing; expected for example {example}");
        if (wanted is not { } address)
        {
            return;
        }
        require(schemes.Contains(address.Scheme), path, $"'{address}' does not fit here; expected {string.Join(" or ", schemes.Select(scheme => $"{scheme}://host:port"))}");
        require(address.Port != EndpointAddress.NoPort, path, $"'{address}' has no port; expected {address.Scheme}://host:port");
        CheckHost(path, address);
        require(address is not { Host: "localhost", Port: 0 }, path, $"localhost is two addresses, which cannot share a free port; expected for example {address.Scheme}://127.0.0.1:0");
        Take(path, user, address);
    }

    /// <summary>Requires a host that is this machine's.</summary>
    public void CheckHost(string path, EndpointAddress address) => require(address.Host is "*" or "localhost" || IPAddress.TryParse(address.Host, out _), path,
        $"'{address.Host}' is not a local address; expected an IP address, localhost, or * for all");

    /// <summary>Requires that nobody else listens on an address, and takes it.</summary>
    public void Take(string path, string user, EndpointAddress address)
    {
        var rival = _taken.FirstOrDefault(other => Overlap(other.Address, address)).User;
        require(rival is null, path, $"{address} is already taken by {rival}");
        _taken.Add((address, user));
    }

    // Port 0 is a different free port each time. localhost is 127.0.0.1 and [::1]. UDP has ports of its own.
    private static bool Overlap(EndpointAddress a, EndpointAddress b) =>
        a.Port == b.Port && a.Port != 0 && a.Scheme == "udp" == (b.Scheme == "udp")
        && (a.Host == b.Host || IsAny(a) || IsAny(b) || IsLoopback(a) && b.Host == "localhost" || IsLoopback(b) && a.Host == "localhost");

    private static bool IsAny(EndpointAddress address) => address.Host is "*" or "0.0.0.0" or "::";

    private static bool IsLoopback(EndpointAddress address) => address.Host is "127.0.0.1" or "::1";
}
