namespace LoadBalancer.Pools;

/// <summary>
/// How many requests a backend may have at once, found by its response times (the gradient controller of Envoy's adaptive concurrency
/// filter). What it needs while it has next to nothing to do is its base time m. Every half second, when there were ten responses or
/// more, it takes their median q: g = 1.25 m / q, 0.5 to 2, and the limit L becomes g L + √(g L). A queue inside the backend makes q longer
/// and L lower. Only requests count that wait for the head of their response: a stream that is open does not fill a backend.
/// </summary>
/// <remarks>
/// The base time is the median of 25 requests that had at most one other beside them, and is found anew every 30 s. If there are not enough
/// such requests for some seconds, <see cref="BackendPool"/> may let the limit be held at 2 for a moment. While the base time is not known
/// the limit stays as it is; where the backend is full, it falls until there are such requests.
/// Takes no lock: a sample that arrives in the instant in which a window ends may be lost.
/// </remarks>
public sealed class AdaptiveLimit
{
    /// <summary>The limit at first.</summary>
    public const int First = 20;

    /// <summary>The lowest limit, and the one at which the base time is measured.</summary>
    public const int Least = 2;

    /// <summary>The highest limit.</summary>
    public const int Most = 1000;

    private const double Tolerance = 1.25;
    private const double LowestGradient = 0.5;
    private const int SamplesOfWindow = 10;
    private const int SamplesOfBase = 25;
    private const int Kept = 256; // samples of a window; a power of two

    private static readonly TimeSpan Window = TimeSpan.FromSeconds(0.5);
    private static readonly TimeSpan BaseInterval = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3); // for requests that come without the limit being held

    private readonly TimeProvider _time;
    private readonly float[] _window = new float[Kept];
    private readonly float[] _bases = new float[SamplesOfBase];
    private int _windowCount;
    private int _baseCount;
    private long _windowStart;
    private long _baseDue; // from then on samples for the base time are taken
    private int _isUpdating;
    private int _awaiting;
    private double _exact = First;
    private volatile int _limit = First;
    private volatile bool _isHeld;

    /// <summary>A limit that begins at <see cref="First"/>.</summary>
    public AdaptiveLimit(TimeProvider time)
    {
        _time = time;
        _windowStart = _baseDue = time.GetTimestamp();
    }

    /// <summary>The limit, also while it is held lower for a moment.</summary>
    public int Limit => _limit;

    /// <summary>The response time of a request that has the backend to itself, in seconds; 0 while it is not known.</summary>
    public double BaseSeconds { get; private set; }

    /// <summary>Requests that wait for the head of their response.</summary>
    public int Awaiting => Volatile.Read(ref _awaiting);

    /// <summary>Whether one more request would fit.</summary>
    public bool HasRoom => Awaiting < Now;

    /// <summary>Whether the limit is held at <see cref="Least"/>, to find the base time.</summary>
    public bool IsHeld => _isHeld;

    private int Now => _isHeld ? Least : _limit;

    /// <summary>Whether the base time is due for long, so that the limit should be held.</summary>
    internal bool WantsHold => !_isHeld && _time.GetElapsedTime(Volatile.Read(ref _baseDue)) >= Patience;

    /// <summary>Goes on with what another process has found.</summary>
    internal void Restore(int limit, double baseSeconds)
    {
        (_exact, _limit) = (Math.Clamp(limit, Least, Most), Math.Clamp(limit, Least, Most));
        BaseSeconds = double.IsFinite(baseSeconds) && baseSeconds > 0 ? baseSeconds : 0;
    }

    /// <summary>Begins to hold the limit at <see cref="Least"/>.</summary>
    internal void Hold() => _isHeld = true;

    /// <summary>Ends that. If the base time was not found, it is tried again after a while.</summary>
    internal void Release()
    {
        if (_isHeld)
        {
            _isHeld = false;
            Volatile.Write(ref _baseDue, Math.Max(Volatile.Read(ref _baseDue), _time.GetTimestamp()));
        }
    }

    /// <summary>Counts one more request, if it fits.</summary>
    /// <returns>How many wait with it; 0 if it does not fit.</returns>
    internal int TryEnter()
    {
        for (var seen = Awaiting; seen < Now;)
        {
            var before = Interlocked.CompareExchange(ref _awaiting, seen + 1, seen);
            if (before == seen)
            {
                return seen + 1;
            }
            seen = before;
        }
        return 0;
    }

    /// <summary>The head of its response has arrived, or it is over without one.</summary>
    internal void Leave() => Interlocked.Decrement(ref _awaiting);

    /// <summary>Takes in how long one response took.</summary>
    /// <param name="elapsed">The time to its head, or to its time-out.</param>
    /// <param name="awaiting">How many waited with it when it was sent, see <see cref="TryEnter"/>.</param>
    /// <returns>Whether a window has ended.</returns>
    internal bool Observe(TimeSpan elapsed, int awaiting)
    {
        var (seconds, now) = ((float)Math.Max(elapsed.TotalSeconds, 1e-6), _time.GetTimestamp());
        if (awaiting <= Least && now >= Volatile.Read(ref _baseDue))
        {
            ObserveBase(seconds, now);
        }
        _window[(Interlocked.Increment(ref _windowCount) - 1) & (Kept - 1)] = seconds;
        if (_windowCount < SamplesOfWindow || _time.GetElapsedTime(Volatile.Read(ref _windowStart), now) < Window
            || Interlocked.Exchange(ref _isUpdating, 1) != 0)
        {
            return false;
        }
        var count = Math.Min(Kept, Volatile.Read(ref _windowCount));
        if (count < SamplesOfWindow) // Another thread has ended this window just now.
        {
            Volatile.Write(ref _isUpdating, 0);
            return false;
        }
        if (!_isHeld && BaseSeconds > 0)
        {
            Update(Tolerance * BaseSeconds / Median(_window.AsSpan(0, count)));
        }
        else if (!_isHeld && awaiting >= _limit)
        {
            Update(LowestGradient); // It began in overload.
        }
        Volatile.Write(ref _windowStart, now);
        Volatile.Write(ref _windowCount, 0);
        Volatile.Write(ref _isUpdating, 0);
        return true;
    }

    private void ObserveBase(float seconds, long now)
    {
        var count = Interlocked.Increment(ref _baseCount);
        if (count <= SamplesOfBase)
        {
            _bases[count - 1] = seconds;
        }
        if (count == SamplesOfBase)
        {
            BaseSeconds = Median(_bases);
            // 27 to 33 s: the digits of the time are as good as random.
            var wait = BaseInterval * (0.9 + 0.2 * (now % 997 / 997.0));
            Volatile.Write(ref _baseDue, now + (long)(wait.TotalSeconds * _time.TimestampFrequency));
            _isHeld = false;
            Volatile.Write(ref _baseCount, 0);
        }
    }

    private void Update(double gradient)
    {
        var next = Math.Clamp(gradient, LowestGradient, 2) * _exact;
        _exact = Math.Clamp(next + Math.Sqrt(next), Least, Most);
        _limit = (int)_exact;
    }

    private static float Median(ReadOnlySpan<float> samples)
    {
        Span<float> sorted = stackalloc float[samples.Length];
        samples.CopyTo(sorted);
        sorted.Sort();
        return sorted[sorted.Length / 2];
    }
}
