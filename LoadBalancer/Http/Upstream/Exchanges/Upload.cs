using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Http.Upstream.Exchanges;

/// <summary>The sending of a request's body to a backend: when it begins, if it does, and its end.</summary>
internal sealed class Upload(Exchange exchange, RequestBody body, IUploadTarget target, TimeoutOptions timeouts)
{
    // RFC 9110 section 10.1.1: a backend may never send 100 (Continue). After this time, which is that of curl, the body is sent anyway.
    private static readonly TimeSpan ContinueTimeout = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private Task? _sending;
    private ITimer? _continueTimer;
    private bool _isDecided;

    /// <summary>Whether nothing was sent (yet).</summary>
    public bool IsRefused => _sending is null;

    /// <summary>Whether all was sent.</summary>
    public bool IsComplete => _sending is { IsCompletedSuccessfully: true };

    /// <summary>Begins, at once or when the backend asks for it.</summary>
    /// <param name="waits">Whether the client waits for 100 (Continue), so that it is the backend's decision.</param>
    /// <param name="time">The clock that ends the wait for it.</param>
    public void Begin(bool waits, TimeProvider time)
    {
        if (waits)
        {
            _continueTimer = time.CreateTimer(_ => Decide(start: true), null, ContinueTimeout, Timeout.InfiniteTimeSpan);
        }
        else
        {
            Decide(start: true);
        }
    }

    /// <summary>Begins, or decides that it will not. The first decision counts: the backend's, or the timer's.</summary>
    public void Decide(bool start)
    {
        lock (_gate)
        {
            _sending = start && !_isDecided ? SendAsync() : _sending;
            _isDecided = true;
        }
    }

    /// <summary>Returns when it has ended. If it is still running, it is aborted: the response was complete first.</summary>
    public async ValueTask EndAsync()
    {
        Decide(start: false);
        _continueTimer?.Dispose();
        if (_sending is not null)
        {
            if (!_sending.IsCompleted)
            {
                target.Abort(AbortCause.AnsweredEarly);
            }
            // Its error was seen by the code that reads the response, or does not matter.
            await _sending.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>Waits for its end, however long the client takes.</summary>
    /// <returns>Whether all was sent.</returns>
    public async ValueTask<bool> FinishAsync()
    {
        Decide(start: false);
        if (_sending is not null)
        {
            await _sending.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
        return IsComplete;
    }

    private async Task SendAsync()
    {
        await body.SendAsync(target, timeouts.Idle);
        if (exchange.Status == 0)
        {
            target.SetDeadline(timeouts.Response);
        }
    }
}
