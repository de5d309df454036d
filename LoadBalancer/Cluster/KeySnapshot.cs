using System.Collections.Immutable;

namespace LoadBalancer.Cluster;

/// <summary>The keys below a prefix as they were at a revision.</summary>
/// <param name="ClusterId">The etcd that had them; empty where none was read yet.</param>
/// <param name="Revision">The last revision that is in it; 0 where none was read yet.</param>
/// <param name="Keys">The keys by their names, which begin with the prefix.</param>
internal sealed record KeySnapshot(string ClusterId, long Revision, ImmutableSortedDictionary<string, EtcdKey> Keys)
{
    /// <summary>Nothing is known.</summary>
    public static KeySnapshot Empty { get; } = new("", 0, ImmutableSortedDictionary.Create<string, EtcdKey>(StringComparer.Ordinal));

    /// <summary>
    /// Whether an answer is of an etcd that has lost changes which this snapshot knows: it was restored, set up anew, or is another one.
    /// </summary>
    public bool IsBehind(EtcdHeader header) => Revision > 0 && (header.ClusterId != ClusterId || header.Revision < Revision);
}

/// <summary>What a <see cref="KeyWatch"/> has learned.</summary>
/// <param name="Before">The keys as they were known.</param>
/// <param name="Now">The keys as they are.</param>
/// <param name="IsRestored">Whether etcd has lost changes meanwhile: <see cref="KeySnapshot.IsBehind"/>.</param>
/// <param name="IsRead">Whether all keys were read anew: what is missing may be lost, and need not have been deleted.</param>
internal sealed record KeyChange(KeySnapshot Before, KeySnapshot Now, bool IsRestored, bool IsRead);
