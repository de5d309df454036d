using System.Net.NetworkInformation;

namespace LoadBalancer.Net;

/// <summary>
/// The addresses of this machine, which may change: an address that is not among them is looked for again, at most every ten seconds.
/// </summary>
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
            _addresses =
            [
                .. from network in NetworkInterface.GetAllNetworkInterfaces()
                   from one in network.GetIPProperties().UnicastAddresses
                   select IpPort.Of(one.Address),
            ];
        }
        catch (NetworkInformationException)
        {
            // The addresses that were known stay.
        }
        return _addresses.Contains(address.Ip);
    }
}
