using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Checks what only a Tcp listener has.</summary>
internal static class TcpListenerValidator
{
    /// <summary>Requires all that must hold for it.</summary>
    public static void Check(
        string user, TcpListenerOptions listener, LoadBalancerOptions all, AddressValidator addresses, SectionValidator section)
    {
        addresses.Check(section, "Address", user, listener.Address, "tcp://127.0.0.1:3001", "tcp", "unix");
        AddressValidator.CheckMode(section, listener.Address, listener.SocketMode);
        TlsValidator.Check(listener, section);
        AcmeValidator.Check(listener.Acme, all, section);
        section.RequireDuration(listener.IdleTimeout, "IdleTimeout");
        section.Require(!listener.AcceptProxyProtocol || listener.TrustedProxies.Count > 0, "AcceptProxyProtocol",
            "is true, but TrustedProxies names nobody who may say who a client is; expected addresses or networks there");
        section.Require(listener.AcceptProxyProtocol || listener.TrustedProxies.Count == 0, "TrustedProxies",
            "is of no use without AcceptProxyProtocol; expected true there");
    }
}
