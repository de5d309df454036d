using System.Data.Common;
using LoadBalancer.Zmtp;

namespace Store;

/// <summary>Answers requests, one after the other. Meanwhile it sends the client of each signs of life.</summary>
/// <param name="store">The products.</param>
/// <param name="work">How long it pretends to work on each request.</param>
/// <param name="print">Called with a line when the database fails.</param>
/// <param name="time">The clock.</param>
internal sealed class Worker(ProductStore store, TimeSpan work, Action<string> print, TimeProvider time) : IAsyncDisposable
{
    private static readonly TimeSpan SignInterval = TimeSpan.FromSeconds(1);

    private readonly ReplySocket _requests = new(BrokerFollower.Limits);
    private readonly PublishSocket _signs = new(limits: BrokerFollower.Limits);

    /// <summary>Works for the load balancer that serves, until it is told to stop.</summary>
    public async Task RunAsync(BrokerFollower follower, StorePorts ports, CancellationToken cancellationToken)
    {
        follower.Follow(_signs, ports.WorkerCheckWorkers);
        follower.Follow(_requests, ports.Workers);
        while (true)
        {
            var request = await _requests.ReceiveAsync(cancellationToken);
            if (request.Message.Count != 2)
            {
                request.Reply(ZmtpMessage.Of("UNKNOWN COMMAND"));
                continue;
            }
            var sign = ZmtpMessage.Of($"{request.Message.Text(0)} OK");
            await using (time.CreateTimer(_ => _signs.Publish(sign), null, TimeSpan.Zero, SignInterval))
            {
                request.Reply(ZmtpMessage.Of(await AnswerAsync(request.Message.Text(1))));
            }
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _requests.DisposeAsync();
        await _signs.DisposeAsync();
    }

    private async Task<string> AnswerAsync(string command)
    {
        try
        {
            if (work > TimeSpan.Zero)
            {
                await Task.Delay(work, time);
            }
            return await store.AnswerAsync(command);
        }
        catch (DbException e)
        {
            print($"the database failed: {e.Message}");
            return "ERROR: the database failed";
        }
    }
}
