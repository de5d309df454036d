namespace LoadBalancer.Cluster;

/// <summary>A call to etcd has failed; the message says where and why, and nothing of what was sent.</summary>
/// <param name="message">What happened.</param>
/// <param name="inner">What it comes from.</param>
internal sealed class EtcdException(string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>Whether etcd may have done what it was asked: the answer is lost, or is an error of the server.</summary>
    public bool MayHaveHappened { get; init; }

    /// <summary>Whether another endpoint may answer better.</summary>
    public bool IsOfEndpoint { get; init; }

    /// <summary>Whether etcd does not know who asks, because the token is missing or too old.</summary>
    public bool IsUnauthenticated { get; init; }
}
