namespace LoadBalancer.Transport;

/// <summary>The role of the current thread in the transport, for callers that do not know whether there are event loops.</summary>
internal static class IoThread
{
    private static int _threads;

    [ThreadStatic]
    private static int _number; // of a thread without event loop, from 1

    /// <summary>The number of the event loop whose thread this is, from 0; else a number that this thread keeps.</summary>
    public static int Number
    {
        get
        {
            if (TransportChoice.IsEpoll && EventLoop.Current is { } loop)
            {
                return loop.Index;
            }
            if (_number == 0)
            {
                _number = Interlocked.Increment(ref _threads);
            }
            return _number;
        }
    }

    /// <summary>Whether this is an event loop's thread.</summary>
    public static bool IsEventLoop => TransportChoice.IsEpoll && EventLoop.Current is not null;

    /// <summary>
    /// Runs an action after all events of the present round, so that their results can be sent together.
    /// </summary>
    /// <returns>False where this is no event loop's thread.</returns>
    public static bool TryRunAfterRound(Action action)
    {
        if (!TransportChoice.IsEpoll || EventLoop.Current is not { } loop)
        {
            return false;
        }
        loop.AfterRound(action);
        return true;
    }
}
