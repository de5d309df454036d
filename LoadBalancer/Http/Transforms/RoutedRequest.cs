using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Messages;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http.Transforms;

/// <summary>A request whose route changes something, and what <see cref="ValueTemplate"/>s can say of it.</summary>
internal sealed class RoutedRequest : IDisposable
{
    private readonly string _sent;
    private CancellationTokenSource? _limit;
    private CancellationTokenSource? _ended;

    /// <summary>Begins with a request.</summary>
    /// <param name="context">The request.</param>
    /// <param name="rules">What its route changes.</param>
    /// <param name="client">The client's address.</param>
    /// <param name="isHttps">Whether the client uses https.</param>
    public RoutedRequest(HttpContext context, RouteRules rules, IPAddress? client, bool isHttps)
    {
        (Context, Rules, Client, IsHttps) = (context, rules, client, isHttps);
        _sent = RequestRules.OriginForm(RequestRules.TargetOf(context)).ToString();
    }

    /// <summary>The request.</summary>
    public HttpContext Context { get; }

    /// <summary>What its route changes.</summary>
    public RouteRules Rules { get; }

    /// <summary>The client's address.</summary>
    public IPAddress? Client { get; }

    /// <summary>Whether the client uses https.</summary>
    public bool IsHttps { get; }

    /// <summary>Who the client is; null where that was not checked.</summary>
    public ProvedIdentity? Identity { get; set; }

    /// <summary>Keeps its body for a copy of it; null where there is none.</summary>
    public KeptBody? KeptBody { get; set; }

    /// <summary>The pool that it goes to; null where it is answered here.</summary>
    public string? Pool { get; private set; }

    /// <summary>The time-outs, where the route has others than the pool; null where they are the pool's.</summary>
    public TimeoutOptions? Timeouts { get; private set; }

    /// <summary>Cancelled when the route's Total is over.</summary>
    public CancellationToken Limit => _limit?.Token ?? default;

    /// <summary>The same, or when the client is gone.</summary>
    public CancellationToken Ended => _ended?.Token ?? Context.RequestAborted;

    /// <summary>Whether the route's Total is over.</summary>
    public bool IsLate => _limit is { IsCancellationRequested: true };

    /// <summary>What that means, in words for the log.</summary>
    public string LateReason =>
        FormattableString.Invariant($"not complete within {Rules.TotalTimeout?.TotalSeconds} s, the Total of its route");

    /// <summary>The path as it was sent.</summary>
    public ReadOnlySpan<char> Path => RequestRules.PathOf(_sent);

    /// <summary>The query as it was sent, with its question mark; empty where there is none.</summary>
    public ReadOnlySpan<char> Query => _sent.AsSpan(Path.Length);

    /// <summary>The target that the backend gets.</summary>
    public string Target { get; private set; } = "";

    /// <summary>Makes the <see cref="Target"/>.</summary>
    /// <returns>False where the target can be read in more than one way, so that the request must be refused.</returns>
    public bool TryMakeTarget()
    {
        Target = (Rules.Target is not { } change || _sent == "*" ? _sent : change.Apply(this)) ?? "";
        return Target.Length > 0 && RequestRules.IsTarget(Target);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _ended?.Dispose();
        _limit?.Dispose();
    }

    /// <summary>Whether a field of the client's does not reach the backend: it is removed, or replaced.</summary>
    public bool Drops(string name) => Rules.RequestFields?.Drops(name) == true || Identity?.Drops(name) == true;

    /// <summary>The same, or what it says is repeated in a field of ours.</summary>
    public bool Replaces(string name) =>
        Drops(name) || Rules.Via is not null && name.Equals(HeaderNames.Via, StringComparison.OrdinalIgnoreCase);

    /// <summary>The fields that the backend gets beside the client's.</summary>
    /// <param name="backend">The backend's name.</param>
    /// <exception cref="ForwardException">A value cannot be sent.</exception>
    public IEnumerable<(string Name, string Value)> NewFields(string backend)
    {
        var fields = Rules.RequestFields?.NewFields(this, backend) ?? [];
        return Identity is null ? fields : fields.Concat(Identity.Fields.Where(field => Rules.RequestFields?.Drops(field.Name) != true));
    }

    /// <summary>Begins with a pool.</summary>
    /// <param name="pool">Its name.</param>
    /// <param name="timeouts">Its time-outs.</param>
    /// <param name="time">The clock of <see cref="Limit"/>.</param>
    public void BeginForwarding(string pool, TimeoutOptions timeouts, TimeProvider time)
    {
        Pool = pool;
        Timeouts = Rules.ResponseTimeout is { } response ? timeouts with { Response = response } : null;
        if (Rules.TotalTimeout is { } total)
        {
            _limit = new CancellationTokenSource(total, time);
            _ended = CancellationTokenSource.CreateLinkedTokenSource(_limit.Token, Context.RequestAborted);
        }
    }

    /// <summary>Ends the <see cref="Limit"/>: the request has become a tunnel.</summary>
    public void EndLimit() => _limit?.CancelAfter(Timeout.InfiniteTimeSpan);

    /// <summary>Changes the fields of a response that is ours.</summary>
    public void ChangeResponse(HttpResponse response) => ChangeResponse(response, null);

    /// <summary>Changes the fields of a response.</summary>
    /// <param name="response">The response.</param>
    /// <param name="backend">The name of the backend that it is from; null where it is ours.</param>
    public void ChangeResponse(HttpResponse response, string? backend) => Rules.ResponseFields?.ApplyTo(response.Headers, this, backend);
}
