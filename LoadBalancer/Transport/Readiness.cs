using System.Threading.Tasks.Sources;

namespace LoadBalancer.Transport;

/// <summary>A wait for a socket, or something else, to become ready; reusable, by one caller at a time.</summary>
internal sealed class Readiness : IValueTaskSource
{
    private ManualResetValueTaskSourceCore<bool> _result; // continues inline

    /// <summary>Waits until <see cref="Set"/> is called.</summary>
    /// <param name="tryBegin">Begins the wait; false if it is ready already.</param>
    public ValueTask WaitAsync(Func<bool> tryBegin)
    {
        _result.Reset();
        var version = _result.Version;
        return tryBegin() ? new(this, version) : ValueTask.CompletedTask;
    }

    /// <inheritdoc cref="WaitAsync(Func{bool})"/>
    public ValueTask WaitAsync<T>(Func<T, bool> tryBegin, T state)
    {
        _result.Reset();
        var version = _result.Version;
        return tryBegin(state) ? new(this, version) : ValueTask.CompletedTask;
    }

    /// <summary>Ends the wait.</summary>
    public void Set() => _result.SetResult(true);

    /// <inheritdoc/>
    public void GetResult(short token) => _result.GetResult(token);

    /// <inheritdoc/>
    public ValueTaskSourceStatus GetStatus(short token) => _result.GetStatus(token);

    /// <inheritdoc/>
    public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _result.OnCompleted(continuation, state, token, flags);
}
