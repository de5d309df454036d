using System.Net.Security;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Tls;

/// <summary>One certificate of a listener: its files, and what was read of them. Guarded by the store.</summary>
/// <param name="file">The files.</param>
/// <param name="name">The name that it is got for by itself; null where an administrator has put the files there.</param>
internal sealed class CertificateEntry(CertificateOptions file, string? name)
{
    /// <summary>The files.</summary>
    public CertificateOptions File { get; } = file;

    /// <summary>The name that it is got for by itself; null where an administrator has put the files there.</summary>
    public string? Name { get; } = name;

    /// <summary>What was read last, whether it could be used or not.</summary>
    public CertificateText? Read { get; set; }

    /// <summary>What is used.</summary>
    public SslStreamCertificateContext Context { get; set; } = null!;

    /// <summary>Whether what is used only stands in, signed by itself, until there is a file that can be used.</summary>
    public bool IsStandIn { get; set; }

    /// <summary>Whether what is used had expired when the store looked last.</summary>
    public bool HasExpired { get; set; }

    /// <summary>When it may be said again that it expires.</summary>
    public DateTimeOffset NextConcern { get; set; }
}
