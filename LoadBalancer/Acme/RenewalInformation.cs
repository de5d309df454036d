namespace LoadBalancer.Acme;

/// <summary>When the authority wishes that a certificate is renewed (RFC 9773 section 4.2).</summary>
/// <param name="Start">The earliest time.</param>
/// <param name="End">The latest time.</param>
/// <param name="AskAfter">How long this holds; then it is to be asked again.</param>
internal sealed record RenewalInformation(DateTimeOffset Start, DateTimeOffset End, TimeSpan AskAfter);
