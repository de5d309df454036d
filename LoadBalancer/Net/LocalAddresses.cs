using System.Net.NetworkInformation;

namespace LoadBalancer.Net;

/// <summary>Knows the addresses of this machine, which may change: looks again at the most every ten seconds, when it is asked for another.</summary>
/// <param name="time">The clock.</param>
internal sealed class LocalAddresses(TimeProvider time)
{
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);

    private HashSet<UInt128> _addresses = [];
    private long? _lookedAt;

    /// <summary>Whether an address is this machine's.</summary>
    public bool Contains(IpPort address)
    {
        if (address.IsLoopback || _addresses.Contains(address.Ip))
        {
            return true;
        }
        if (_lookedAt is { } at && time.GetElapsedTime(at) < Interval)
        {
            return false;
        }
        _lookedAt = time.GetTimestamp();
        try
        {
            _addresses = [.. NetworkInterface.GetAllNetworkInterfaces().SelectMany(one => one.GetIPProperties().UnicastAddresses).Select(one => IpPort.Of(one.Address))];
        }
        catch (NetworkInformationException)
        {
            // What was known stays.
        }
        return _addresses.Contains(address.Ip);
    }
}
