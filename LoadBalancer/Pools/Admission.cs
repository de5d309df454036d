using System.Diagnostics.CodeAnalysis;

namespace LoadBalancer.Pools;

/// <summary>Why work got no backend.</summary>
public enum Rejection
{
    /// <summary>It got one.</summary>
    None,

    /// <summary>No backend is eligible that the work was not tried at.</summary>
    NoBackend,

    /// <summary>All are full, and so is the queue.</summary>
    QueueFull,

    /// <summary>It has waited in the queue for as long as it may.</summary>
    QueueTimeout,

    /// <summary>It was cancelled while it waited.</summary>
    Cancelled,
}

/// <summary>What <see cref="BackendPool.AcquireAsync"/> came to.</summary>
/// <param name="Lease">The backend; null where there is none.</param>
/// <param name="Rejection">Why there is none.</param>
public readonly record struct Admission(BackendLease? Lease, Rejection Rejection)
{
    /// <summary>Whether the work got a backend.</summary>
    [MemberNotNullWhen(true, nameof(Lease))]
    public bool IsAdmitted => Lease is not null;
}
