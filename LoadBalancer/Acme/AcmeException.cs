namespace LoadBalancer.Acme;

/// <summary>A certificate could not be got; the message says to the operator why.</summary>
/// <param name="kind">
/// What went wrong, the same for the same fault: the type of the problem document (RFC 8555 section 6.7) without its prefix, or a word.
/// </param>
/// <param name="message">The words.</param>
internal sealed class AcmeException(string kind, string message) : Exception(message)
{
    /// <summary>What went wrong, the same for the same fault.</summary>
    public string Kind { get; } = kind;

    /// <summary>How long to wait before another try, as the authority wishes; null where it has not said so.</summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>Whether the same question may get another answer soon: the authority is overloaded, or has a fault itself.</summary>
    public bool IsPassing { get; init; }
}
