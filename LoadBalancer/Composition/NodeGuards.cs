using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Http.Guards.Authentication;
using LoadBalancer.Http.Guards.Rates;

namespace LoadBalancer.Composition;

/// <summary>
/// The rate limiters and authenticators of a node. One whose options stay the same stays too, with its counts, keys and remembered
/// passwords.
/// </summary>
internal sealed class NodeGuards(TimeProvider time, ILoggerFactory loggers) : IDisposable
{
    // Requests that have begun with it may still ask it.
    private static readonly TimeSpan Grace = TimeSpan.FromMinutes(1);

    private readonly ILogger _logger = loggers.CreateLogger<NodeGuards>();
    private volatile GuardSet _current = GuardSet.Empty;
    private volatile int _nodes = 1;

    /// <summary>Divides the limits among so many nodes. Counts that there are stay.</summary>
    public void Share(int nodes)
    {
        _nodes = nodes;
        ShareAll();
    }

    /// <summary>Makes the guards of new options. Changes nothing yet: they are for <see cref="Commit"/> or <see cref="Discard"/>.</summary>
    /// <exception cref="StartException">A file cannot be used.</exception>
    public GuardSet Prepare(LoadBalancerOptions options)
    {
        var authenticators = new Dictionary<string, Guard<AuthenticationOptions, IAuthenticator>>(StringComparer.OrdinalIgnoreCase);
        try
        {
            foreach (var (name, wanted) in options.Authentication)
            {
                authenticators[name] = Known(_current.Authenticators, name, wanted) ?? new(wanted, Create(name, wanted));
            }
        }
        catch
        {
            DisposeOfNew(authenticators.Values);
            throw;
        }
        return new GuardSet(
            options.RateLimits.ToDictionary(
                entry => entry.Key,
                entry => Known(_current.Limiters, entry.Key, entry.Value) ?? new(entry.Value, new RateLimiter(entry.Value, time)),
                StringComparer.OrdinalIgnoreCase),
            authenticators);
    }

    /// <summary>Uses the new guards; those that are no longer used are disposed of a little later.</summary>
    public void Commit(GuardSet next)
    {
        var gone = _current.Authenticators.Values.Except(next.Authenticators.Values).ToList();
        _current = next;
        ShareAll(); // Also where the nodes change in this moment: one of the two sees what the other has set.
        if (gone.Count > 0)
        {
            BackgroundTask.Run(DisposeLaterAsync(gone), _logger, "former authentication: closing");
        }
    }

    /// <summary>Disposes of prepared guards that will not be used.</summary>
    public void Discard(GuardSet next) => DisposeOfNew(next.Authenticators.Values);

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var authenticator in _current.Authenticators.Values)
        {
            authenticator.Instance.Dispose();
        }
    }

    private void ShareAll()
    {
        foreach (var limiter in _current.Limiters.Values)
        {
            limiter.Instance.Share(_nodes);
        }
    }

    private void DisposeOfNew(IEnumerable<Guard<AuthenticationOptions, IAuthenticator>> prepared)
    {
        foreach (var authenticator in prepared.Except(_current.Authenticators.Values))
        {
            authenticator.Instance.Dispose();
        }
    }

    private IAuthenticator Create(string name, AuthenticationOptions options)
    {
        try
        {
            return Authenticators.Create(name, options, time, _logger);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or FormatException)
        {
            throw new StartException($"authentication '{name}': {e.Message}", e);
        }
    }

    private static Guard<TOptions, T>? Known<TOptions, T>(
        IReadOnlyDictionary<string, Guard<TOptions, T>> current, string name, TOptions wanted)
        where TOptions : notnull =>
        current.GetValueOrDefault(name) is { } known && ListenerOptions.HaveSameSettings(known.Options, wanted) ? known : null;

    private async Task DisposeLaterAsync(List<Guard<AuthenticationOptions, IAuthenticator>> gone)
    {
        await Task.Delay(Grace, time);
        gone.ForEach(authenticator => authenticator.Instance.Dispose());
    }
}
