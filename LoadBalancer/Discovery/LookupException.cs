namespace LoadBalancer.Discovery;

/// <summary>A name could not be looked up.</summary>
/// <param name="result">How the lookup has ended.</param>
/// <param name="reason">The reason, for the log: <c>there is no such name (127.0.0.1:53)</c>.</param>
internal sealed class LookupException(LookupResult result, string reason) : Exception(reason)
{
    /// <summary>How the lookup has ended.</summary>
    public LookupResult Result => result;
}
