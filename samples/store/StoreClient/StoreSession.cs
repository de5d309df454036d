using System.Net.Sockets;
using System.Text;
using LoadBalancer.Zmtp;

namespace Store;

/// <summary>
/// A client: asks the broker that serves, and hears from the worker that has its request. Where that falls silent it asks again, and
/// gives up after five times. A BUY that is sent again may be done twice: whether the first one was done nobody can say.
/// </summary>
internal sealed class StoreSession : IAsyncDisposable
{
    private const int MostAttempts = 5;
    private static readonly TimeSpan FailPause = TimeSpan.FromSeconds(1);

    private readonly BrokerFollower _follower;
    private readonly TimeSpan _workerTimeout;
    private readonly Action<string> _say;
    private readonly TimeProvider _time;
    private readonly string _id = Guid.NewGuid().ToString();
    private readonly RequestSocket _requests;
    private readonly SubscribeSocket _signs;
    private volatile CancellationTokenSource? _patience;

    /// <summary>Connects.</summary>
    /// <param name="follower">Knows the brokers.</param>
    /// <param name="ports">Their ports.</param>
    /// <param name="workerTimeout">After how long without a sign of life it asks again.</param>
    /// <param name="say">Told when it does.</param>
    /// <param name="time">The clock.</param>
    public StoreSession(BrokerFollower follower, StorePorts ports, TimeSpan workerTimeout, Action<string> say, TimeProvider time)
    {
        (_follower, _workerTimeout, _say, _time) = (follower, workerTimeout, say, time);
        _requests = new RequestSocket(BrokerFollower.Limits) { Identity = Encoding.ASCII.GetBytes(_id) };
        _signs = new SubscribeSocket(limits: BrokerFollower.Limits) { Received = (_, _) => OnSign() };
        _signs.Subscribe(_id);
        follower.Follow(_signs, ports.WorkerCheckClients);
        follower.Follow(_requests, ports.Clients);
    }

    /// <summary>Asks.</summary>
    /// <returns>The answer; null where it was given up.</returns>
    public async Task<string?> AskAsync(string command, CancellationToken cancellationToken)
    {
        var message = ZmtpMessage.Of(_id, command);
        for (var attempt = 1; attempt <= MostAttempts; attempt++)
        {
            using var patience = new CancellationTokenSource(_workerTimeout, _time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, cancellationToken);
            _patience = patience;
            var again = attempt < MostAttempts ? "sending it again" : "giving up";
            try
            {
                var answer = (await _requests.RequestAsync(message, either.Token)).ToString();
                if (answer != "FAIL")
                {
                    return answer;
                }
                _say($"{command}: the load balancer has no room for it: {again}");
                await Task.Delay(FailPause, _time, cancellationToken);
            }
            catch (SocketException)
            {
                _say($"{command}: the connection was lost: {again}");
            }
            catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
            {
                _say($"{command}: no sign of life for {_workerTimeout.TotalSeconds} s: {again}");
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
            // The answer has come at the same moment.
        }
    }
}
