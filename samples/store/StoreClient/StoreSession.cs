using System.Net.Sockets;
using System.Text;
using LoadBalancer.Zmtp;

namespace Store;

/// <summary>
/// A client: sends requests to the load balancer that serves, and receives signs of life from the worker that has its request. Without them
/// it sends the request again, five times at most. A BUY that is sent again may be done twice: the client cannot know whether the first one
/// was done.
/// </summary>
internal sealed class StoreSession : IAsyncDisposable
{
    private const int MaxAttempts = 5;
    private static readonly TimeSpan FailPause = TimeSpan.FromSeconds(1);

    private readonly BrokerFollower _follower;
    private readonly TimeSpan _workerTimeout;
    private readonly Action<string> _print;
    private readonly TimeProvider _time;
    private readonly string _id = Guid.NewGuid().ToString();
    private readonly RequestSocket _requests;
    private readonly SubscribeSocket _signs;
    private volatile CancellationTokenSource? _patience;

    /// <summary>Connects.</summary>
    /// <param name="follower">Keeps its sockets connected.</param>
    /// <param name="ports">The load balancers' ports.</param>
    /// <param name="workerTimeout">After how long without a sign of life it sends a request again.</param>
    /// <param name="print">Called with a line when it does so.</param>
    /// <param name="time">The clock.</param>
    public StoreSession(BrokerFollower follower, StorePorts ports, TimeSpan workerTimeout, Action<string> print, TimeProvider time)
    {
        (_follower, _workerTimeout, _print, _time) = (follower, workerTimeout, print, time);
        _requests = new RequestSocket(BrokerFollower.Limits) { Identity = Encoding.ASCII.GetBytes(_id) };
        _signs = new SubscribeSocket(limits: BrokerFollower.Limits) { Received = (_, _) => OnSign() };
        _signs.Subscribe(_id);
        follower.Follow(_signs, ports.WorkerCheckClients);
        follower.Follow(_requests, ports.Clients);
    }

    /// <summary>Sends a command and waits for its answer.</summary>
    /// <returns>The answer; null if it has given up.</returns>
    public async Task<string?> AskAsync(string command, CancellationToken cancellationToken)
    {
        var message = ZmtpMessage.Of(_id, command);
        for (var attempt = 1; attempt <= MaxAttempts; attempt++)
        {
            using var patience = new CancellationTokenSource(_workerTimeout, _time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, cancellationToken);
            _patience = patience;
            var again = attempt < MaxAttempts ? "sending it again" : "giving up";
            try
            {
                var answer = (await _requests.RequestAsync(message, either.Token)).ToString();
                if (answer != "FAIL")
                {
                    return answer;
                }
                _print($"{command}: the load balancer has no room for it: {again}");
                await Task.Delay(FailPause, _time, cancellationToken);
            }
            catch (SocketException)
            {
                _print($"{command}: the connection was lost: {again}");
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                _print($"{command}: no sign of life for {_workerTimeout.TotalSeconds} s: {again}");
            }
            finally
            {
                _patience = null;
            }
        }
        return null;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _follower.Leave(_requests);
        _follower.Leave(_signs);
        await _requests.DisposeAsync();
        await _signs.DisposeAsync();
    }

    private void OnSign()
    {
        try
        {
            _patience?.CancelAfter(_workerTimeout);
        }
        catch (ObjectDisposedException)
        {
            // The answer has arrived at the same moment.
        }
    }
}
