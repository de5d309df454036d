namespace LoadBalancer.Http;

/// <summary>An attempt failed before the head of a response was there.</summary>
/// <param name="error">In which phase, and on which side.</param>
/// <param name="reason">Why, in a few words for the log.</param>
internal sealed class ForwardException(ForwardError error, string reason) : Exception(reason)
{
    /// <summary>In which phase, and on which side.</summary>
    public ForwardError Error { get; } = error;
}
