namespace LoadBalancer.Diagnostics;

/// <summary>A certificate that a listener uses.</summary>
/// <param name="Listener">The listener's name.</param>
/// <param name="File">The certificate's file.</param>
/// <param name="NotBefore">From when on it is valid.</param>
/// <param name="NotAfter">Until when it is valid.</param>
public sealed record CertificateStatus(string Listener, string File, DateTimeOffset NotBefore, DateTimeOffset NotAfter)
{
    /// <summary>The name that it was got for by itself; null where an administrator has put the file there.</summary>
    public string? Name { get; init; }
}
