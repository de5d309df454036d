using LoadBalancer.Cluster;

namespace LoadBalancer.Acme;

/// <summary>What the sharing of certificates needs of the node.</summary>
/// <param name="Etcd">etcd.</param>
/// <param name="Keys">Follows all keys of the cluster.</param>
/// <param name="Challenges">Answers the authorities' questions.</param>
/// <param name="Clock">The clock of leases.</param>
/// <param name="Time">The time of day.</param>
/// <param name="Logger">Gets what goes wrong.</param>
internal sealed record AcmeSharingParts(
    EtcdClient Etcd, KeyWatch Keys, Challenges Challenges, TimeProvider Clock, TimeProvider Time, ILogger Logger);
