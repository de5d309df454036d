using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Routes;
using LoadBalancer.Listeners;

namespace LoadBalancer.Composition;

/// <summary>A listener of a node.</summary>
/// <param name="listener">The listener.</param>
/// <param name="options">The options that it runs with.</param>
/// <param name="http">What an Http listener has beside; null for the other protocols.</param>
internal sealed class NodeListener(IListener listener, ListenerOptions options, HttpState? http)
{
    private volatile ListenerOptions _options = options;

    /// <summary>The listener.</summary>
    public IListener Listener { get; } = listener;

    /// <summary>The options that it runs with.</summary>
    public ListenerOptions Options
    {
        get => _options;
        set => _options = value;
    }

    /// <summary>What an Http listener has beside; null for the other protocols.</summary>
    public HttpState? Http { get; } = http;

    /// <summary>Its name in the configuration.</summary>
    public string Name => Listener.Name;
}

/// <summary>What goes on where another Http listener takes the place of one: its routes, and what their guards rejected.</summary>
/// <param name="Routing">The routes of its requests.</param>
/// <param name="Rejections">What the guards have rejected.</param>
internal sealed record HttpState(Routing Routing, GuardRejections Rejections);
