using System.Diagnostics.CodeAnalysis;

namespace LoadBalancer.Pools;

/// <summary>Why a request was not given a backend.</summary>
public enum Rejection
{
    /// <summary>It got one.</summary>
    None,

    /// <summary>The work was tried on every eligible backend, or none is eligible.</summary>
    NoBackend,

    /// <summary>All backends are full, and the queue is full too.</summary>
    QueueFull,

    /// <summary>It waited in the queue for the longest time allowed.</summary>
    QueueTimeout,

    /// <summary>It was cancelled while it waited.</summary>
    Cancelled,
}

/// <summary>The result of <see cref="BackendPool.AcquireAsync"/>.</summary>
/// <param name="Lease">The backend; null where there is none.</param>
/// <param name="Rejection">Why there is none.</param>
public readonly record struct Admission(BackendLease? Lease, Rejection Rejection)
{
    /// <summary>Whether the work got a backend.</summary>
    [MemberNotNullWhen(true, nameof(Lease))]
    public bool IsAdmitted => Lease is not null;
}
