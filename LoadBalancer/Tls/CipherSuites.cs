using System.Net.Security;

namespace LoadBalancer.Tls;

/// <summary>
/// The cipher suites that can be named in a configuration, under their names at IANA and in OpenSSL, and the profiles of Mozilla's
/// guideline <see href="https://wiki.mozilla.org/Security/Server_Side_TLS">Server Side TLS</see>. None is without forward secrecy.
/// </summary>
internal static class CipherSuites
{
    /// <summary>The profile that allows TLS 1.3 only.</summary>
    public const string Modern = "Modern";

    /// <summary>The profile that allows TLS 1.2 too, with suites that have forward secrecy and authenticate what they encrypt.</summary>
    public const string Intermediate = "Intermediate";

    private static readonly (string OpenSslName, TlsCipherSuite Suite)[] All =
    [
        ("TLS_AES_128_GCM_SHA256", TlsCipherSuite.TLS_AES_128_GCM_SHA256),
        ("TLS_AES_256_GCM_SHA384", TlsCipherSuite.TLS_AES_256_GCM_SHA384),
        ("TLS_CHACHA20_POLY1305_SHA256", TlsCipherSuite.TLS_CHACHA20_POLY1305_SHA256),
        ("ECDHE-ECDSA-AES128-GCM-SHA256", TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
        ("ECDHE-RSA-AES128-GCM-SHA256", TlsCipherSuite.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
        ("ECDHE-RSA-AES256-GCM-SHA384", TlsCipherSuite.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
        ("ECDHE-RSA-CHACHA20-POLY1305", TlsCipherSuite.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
        ("ECDHE-ECDSA-AES128-SHA256", TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256),
        ("ECDHE-RSA-AES128-SHA256", TlsCipherSuite.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256),
        ("ECDHE-ECDSA-AES256-SHA384", TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384),
        ("ECDHE-RSA-AES256-SHA384", TlsCipherSuite.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384),
        ("ECDHE-ECDSA-AES128-SHA", TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA),
        ("ECDHE-RSA-AES128-SHA", TlsCipherSuite.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA),
        ("ECDHE-ECDSA-AES256-SHA", TlsCipherSuite.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA),
        ("ECDHE-RSA-AES256-SHA", TlsCipherSuite.TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA),
    ];

    private const int OfTls13 = 3; // The first ones; with those up to here they are the profile Intermediate:
    private const int OfIntermediate = 9;

    /// <summary>All of TLS 1.3 that are spoken.</summary>
    public static IReadOnlyList<TlsCipherSuite> Tls13 { get; } = [.. All[..OfTls13].Select(entry => entry.Suite)];

    /// <summary>Whether there is a suite of this name, or a profile where one is allowed.</summary>
    public static bool IsKnown(string name, bool isProfileAllowed) =>
        Array.Exists(All, entry => IsNamed(entry, name)) || isProfileAllowed && name is Modern or Intermediate;

    /// <summary>What is wrong with a name that is not known.</summary>
    public static string Expected(string name) => name switch
    {
        Modern or Intermediate => $"'{name}' is a profile, and cannot be combined with other names",
        "Old" => "'Old' needs TLS 1.0, which is not spoken (RFC 8996); expected Intermediate, or names of cipher suites",
        _ => $"'{name}' is not a cipher suite that is spoken; expected {Modern}, {Intermediate}, or names such as "
            + "TLS_AES_128_GCM_SHA256 and ECDHE-RSA-AES128-GCM-SHA256: docs/tls.md lists them",
    };

    /// <summary>Whether a setting says anything of TLS 1.3: it is absent, a profile, or names a suite of that version.</summary>
    public static bool HasTls13(IReadOnlyList<string> names) =>
        names is [] or [Modern or Intermediate] || All[..OfTls13].Any(entry => names.Any(name => IsNamed(entry, name)));

    /// <summary>The suites of a setting; where none of TLS 1.3 is named, all of that version stay. All names must be known.</summary>
    public static IReadOnlyList<TlsCipherSuite> Of(IReadOnlyList<string> names)
    {
        if (names is [Modern])
        {
            return Tls13;
        }
        if (names is [Intermediate])
        {
            return [.. All[..OfIntermediate].Select(entry => entry.Suite)];
        }
        var named = (from name in names
                     from entry in All
                     where IsNamed(entry, name)
                     select entry.Suite).ToList();
        return named.Exists(Tls13.Contains) ? named : [.. Tls13, .. named];
    }

    private static bool IsNamed((string OpenSslName, TlsCipherSuite Suite) entry, string name) =>
        name == entry.OpenSslName || name == entry.Suite.ToString();
}
