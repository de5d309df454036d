using LoadBalancer.Net;

namespace LoadBalancer.Http.Guards.Authentication;

/// <summary>
/// Keys that are fetched from an address: at the start, every hour, and when a token names a key that is not known, at most once a minute.
/// What was fetched stays in use while the address does not answer.
/// </summary>
internal sealed partial class JwtKeySource : IDisposable
{
    private const int MaxSize = 1024 * 1024;

    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan RetryInterval = TimeSpan.FromSeconds(5); // while there are no keys
    private static readonly TimeSpan RefetchInterval = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan RefreshInterval = TimeSpan.FromHours(1);

    private readonly string _address;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly HttpClient _client = new(new SocketsHttpHandler { UseProxy = false, ConnectTimeout = Timeout })
    {
        Timeout = System.Threading.Timeout.InfiniteTimeSpan,
        MaxResponseContentBufferSize = MaxSize,
    };

    private readonly CancellationTokenSource _disposed = new();
    private readonly Lock _gate = new();
    private Task? _fetching;
    private long _fetchedAt;
    private volatile JwtKeys? _keys;

    /// <summary>Begins to fetch.</summary>
    public JwtKeySource(string address, TimeProvider time, ILogger logger)
    {
        (_address, _time, _logger) = (address, time, logger);
        Diagnostics.BackgroundTask.Run(RunAsync(), logger, $"keys of '{AddressText.WithoutCredentials(address)}'");
    }

    /// <summary>The keys; null where they could not be fetched yet.</summary>
    public JwtKeys? Keys => _keys;

    /// <summary>Fetches them again, unless that was done within the last minute.</summary>
    public Task RefetchAsync()
    {
        lock (_gate)
        {
            return _fetching ?? (_keys is not null && _time.GetElapsedTime(_fetchedAt) < RefetchInterval ? Task.CompletedTask
                : FetchNeedsLock());
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _disposed.Cancel();
        _client.Dispose();
    }

    private async Task RunAsync()
    {
        while (!_disposed.IsCancellationRequested)
        {
            Task fetching;
            lock (_gate)
            {
                fetching = _fetching ?? FetchNeedsLock();
            }
            await fetching;
            await Task.Delay(_keys is null ? RetryInterval : RefreshInterval, _time, _disposed.Token)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private Task FetchNeedsLock()
    {
        _fetchedAt = _time.GetTimestamp();
        return _fetching = Task.Run(FetchAsync);
    }

    private async Task FetchAsync()
    {
        try
        {
            using var late = new CancellationTokenSource(Timeout, _time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, _disposed.Token);
            _keys = JwtKeys.Parse(await _client.GetByteArrayAsync(_address, either.Token));
        }
        catch (Exception e) when (e is HttpRequestException or OperationCanceledException or FormatException or ObjectDisposedException)
        {
            if (!_disposed.IsCancellationRequested)
            {
                LogFailed(AddressText.WithoutCredentials(_address), e is OperationCanceledException
                    ? $"no answer within {Timeout.TotalSeconds} s" : e.Message,
                    _keys is null ? "tokens cannot be checked, requests that need one are answered 503" : "the known keys stay in use");
            }
        }
        finally
        {
            lock (_gate)
            {
                _fetching = null;
            }
        }
    }

    [LoggerMessage(142, LogLevel.Warning, "keys from {Address} cannot be used ({Reason}): {Consequence}")]
    private partial void LogFailed(string address, string reason, string consequence);
}
