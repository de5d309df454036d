using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Listeners;

/// <summary>
/// Where clients connect: one entry of <c>Listeners</c>, whatever it speaks. It listens from <see cref="StartAsync"/> on.
/// </summary>
public interface IListener : IDisposable
{
    /// <summary>Its name in the configuration.</summary>
    string Name { get; }

    /// <summary>Where it really listens, which is only known once it does where the configured port is 0.</summary>
    string Address { get; }

    /// <summary>Connections that were closed at once because there were <see cref="ListenerOptions.MaxConnections"/> already.</summary>
    long Refused { get; }

    /// <summary>Takes up other options as far as a running listener can.</summary>
    /// <returns>The settings that need a restart.</returns>
    IReadOnlyList<string> Apply(ListenerOptions options);

    /// <summary>Starts to listen.</summary>
    /// <exception cref="StartException">The address cannot be listened on.</exception>
    Task StartAsync(CancellationToken cancellationToken);

    /// <summary>Stops accepting, closes what is idle, lets what is in flight end until the token is cancelled, and then cuts it.</summary>
    Task StopAsync(CancellationToken cancellationToken);
}
