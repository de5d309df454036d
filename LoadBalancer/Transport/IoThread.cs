namespace LoadBalancer.Transport;

/// <summary>What the thread that runs is to the transport. Nothing of it needs to know whether there are event loops.</summary>
internal static class IoThread
{
    private static int _threads;

    [ThreadStatic]
    private static int _number; // of a thread that is no event loop's, from 1

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
    /// Runs something once the event loop has dealt with all events that came together, so that what they lead to can be done together.
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
