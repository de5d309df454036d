using System.Globalization;
using System.Security.Cryptography.X509Certificates;

namespace LoadBalancer.Tls;

/// <summary>When a certificate is valid.</summary>
/// <param name="NotBefore">From when on.</param>
/// <param name="NotAfter">Until when.</param>
internal sealed record Validity(DateTimeOffset NotBefore, DateTimeOffset NotAfter)
{
    /// <summary>How long before its end a certificate should have been renewed.</summary>
    public static readonly TimeSpan RenewalTime = TimeSpan.FromDays(14);

    /// <summary>The validity of a certificate.</summary>
    public static Validity Of(X509Certificate2 certificate) =>
        new(certificate.NotBefore.ToUniversalTime(), certificate.NotAfter.ToUniversalTime());

    /// <summary>Why it is not valid at some time, in words; null where it is.</summary>
    public string? Fault(DateTimeOffset now) =>
        now > NotAfter ? $"has expired at {Text(NotAfter)}"
        : now < NotBefore ? $"is not valid before {Text(NotBefore)}"
        : null;

    /// <summary>Why somebody should look after it, in words; null where there is time.</summary>
    public string? Concern(DateTimeOffset now) =>
        Fault(now) ?? (NotAfter - now < RenewalTime
            ? string.Create(CultureInfo.InvariantCulture, $"expires in {(int)(NotAfter - now).TotalDays} days, at {Text(NotAfter)}")
            : null);

    private static string Text(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd HH:mm:ss'Z'", CultureInfo.InvariantCulture);
}
