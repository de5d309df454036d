using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Cluster;

/// <summary>A backend as the management API added it.</summary>
/// <param name="Name">Its name, as it was written.</param>
/// <param name="Address">Where it listens.</param>
/// <param name="Weight">Its weight.</param>
/// <param name="AdminState">Its admin state.</param>
internal sealed record AddedBackend(string Name, EndpointAddress Address, int Weight, AdminState AdminState);
