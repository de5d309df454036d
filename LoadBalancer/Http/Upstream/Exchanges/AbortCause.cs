namespace LoadBalancer.Http.Upstream.Exchanges;

/// <summary>Why an exchange was aborted.</summary>
internal enum AbortCause
{
    None,

    /// <summary>The client went away, or its message is malformed: there is no one to respond to.</summary>
    Client,

    /// <summary>A deadline passed.</summary>
    TimedOut,

    /// <summary>The response ended before the request.</summary>
    AnsweredEarly,
}
