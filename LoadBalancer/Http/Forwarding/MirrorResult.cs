namespace LoadBalancer.Http.Forwarding;

/// <summary>What has become of the copy of a request.</summary>
internal enum MirrorResult
{
    /// <summary>It was answered, with whatever status.</summary>
    Answered,

    /// <summary>It was not, or not to the end of the response, or not in time.</summary>
    Failed,

    /// <summary>It was not sent: there were too many in flight, or no backend of the pool had room.</summary>
    Dropped,

    /// <summary>It was not sent: the body is larger than those that are kept.</summary>
    TooLarge,

    /// <summary>It was not sent: the client's body did not come to its end, or not in time.</summary>
    Incomplete,
}
