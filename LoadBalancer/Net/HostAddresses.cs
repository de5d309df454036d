using System.Net;
using System.Net.Sockets;

namespace LoadBalancer.Net;

/// <summary>
/// The addresses of a name, as they were set last. It looks up nothing itself, so any number of connections that are opened at once cause
/// no lookup: the code that looks up the name calls <see cref="Set"/> or <see cref="Fail"/> after each lookup. It is safe for all threads.
/// </summary>
/// <param name="host">The name.</param>
internal sealed class HostAddresses(string host)
{
    private readonly Lock _gate = new();
    private readonly TaskCompletionSource _firstOutcome = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private volatile Answer? _answer;
    private SocketError? _failure; // of the last lookup, as long as there is no answer

    /// <summary>The name.</summary>
    public string Host => host;

    /// <summary>
    /// The addresses in the order in which they are tried: that of the answer, but IPv6 and IPv4 in turn. Never empty; null until the first
    /// answer. The same object as long as nothing has changed.
    /// </summary>
    public IReadOnlyList<IPAddress>? Current => _answer?.Ordered;

    /// <summary>The same as <see cref="Current"/>; waits for the first answer where there is none and no lookup has failed yet.</summary>
    /// <exception cref="SocketException">No answer is known, and the last lookup has failed.</exception>
    /// <exception cref="OperationCanceledException">The token was cancelled.</exception>
    public ValueTask<IReadOnlyList<IPAddress>> GetAsync(CancellationToken cancellationToken) =>
        _answer is { } answer ? new(answer.Ordered) : new(WaitAsync(cancellationToken));

    /// <summary>Whether an address is one of the last answer; true as long as there is none.</summary>
    public bool Holds(IPAddress address) => _answer?.All.Contains(address.Unmap()) != false;

    /// <summary>A lookup has given an answer: it replaces the one before.</summary>
    /// <param name="addresses">In the order of the answer; doubles are left out.</param>
    /// <exception cref="ArgumentException">There is none; that is a failure, see <see cref="Fail"/>.</exception>
    public void Set(IEnumerable<IPAddress> addresses)
    {
        var ordered = Alternate([.. addresses.Select(MappedAddress.Unmap).Distinct()]);
        if (ordered.Count == 0)
        {
            throw new ArgumentException("an answer without addresses", nameof(addresses));
        }
        lock (_gate)
        {
            if (_answer?.Ordered.SequenceEqual(ordered) != true)
            {
                _answer = new Answer(ordered, [.. ordered]);
            }
            _firstOutcome.TrySetResult();
        }
    }

    /// <summary>A lookup has failed: the last answer stays. Where there is none, who waits for one does so no longer.</summary>
    public void Fail(SocketError reason)
    {
        lock (_gate)
        {
            _failure = reason;
            _firstOutcome.TrySetResult();
        }
    }

    /// <summary>Orders addresses so that the two families take turns as long as there are both, beginning with that of the first.</summary>
    public static IReadOnlyList<IPAddress> Alternate(IReadOnlyList<IPAddress> addresses)
    {
        if (addresses.Count < 2)
        {
            return addresses;
        }
        var first = addresses[0].AddressFamily;
        Queue<IPAddress> own = new(addresses.Where(address => address.AddressFamily == first));
        Queue<IPAddress> other = new(addresses.Where(address => address.AddressFamily != first));
        List<IPAddress> ordered = new(addresses.Count);
        while (ordered.Count < addresses.Count)
        {
            if (own.TryDequeue(out var next))
            {
                ordered.Add(next);
            }
            if (other.TryDequeue(out next))
            {
                ordered.Add(next);
            }
        }
        return ordered;
    }

    private async Task<IReadOnlyList<IPAddress>> WaitAsync(CancellationToken cancellationToken)
    {
        await _firstOutcome.Task.WaitAsync(cancellationToken);
        lock (_gate)
        {
            // A new exception for each: one that several throw at once would collect all their stacks.
            return _answer?.Ordered ?? throw new SocketException((int)_failure!);
        }
    }

    private sealed record Answer(IReadOnlyList<IPAddress> Ordered, HashSet<IPAddress> All);
}
