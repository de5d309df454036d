using System.Text;
using System.Text.Json.Nodes;
using System.Threading.Channels;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Management;

/// <summary>Those who read the events, and what each of them is sent.</summary>
internal sealed partial class EventHub
{
    /// <summary>
    /// Writes events until the client leaves, falls behind, or the node stops. With <c>?changes</c> in its query a snapshot is sent once,
    /// and then only what has changed.
    /// </summary>
    public async Task ServeAsync(HttpContext context, ManagementUser user, CancellationToken stopping)
    {
        var wantsChanges = context.Request.Query.ContainsKey("changes");
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, stopping);
        var events = Channel.CreateBounded<byte[]>(new BoundedChannelOptions(MostUnread));
        context.Response.ContentType = "text/event-stream";
        context.Response.Headers.CacheControl = "no-store";
        try
        {
            lock (_gate)
            {
                events.Writer.TryWrite(Event("hello", HelloNeedsLock(user, wantsChanges)));
                // What changes later is said in comparison with what all of them were sent last.
                events.Writer.TryWrite(Event("snapshot", wantsChanges ? _sent ??= SnapshotNeedsLock() : SnapshotNeedsLock()));
                _readers[events] = new Reader(ended, wantsChanges);
            }
            await foreach (var text in events.Reader.ReadAllAsync(ended.Token))
            {
                await context.Response.Body.WriteAsync(text, ended.Token);
                await context.Response.Body.FlushAsync(ended.Token);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or IOException)
        {
            if (!stopping.IsCancellationRequested)
            {
                context.Abort(); // The client has left, or has not kept up.
            }
        }
        finally
        {
            lock (_gate)
            {
                _readers.TryRemove(events, out _);
            }
        }
    }

    private void SendUnsentNeedsLock()
    {
        if (_unsent.Count > 0)
        {
            SendNeedsLock([.. _unsent]);
            _unsent.Clear();
        }
    }

    // To all readers, or to those who want changes only, or to the others.
    private void SendNeedsLock(byte[] text, bool? ofChanges = null)
    {
        foreach (var (events, reader) in _readers)
        {
            // A reader that leaves removes itself under the lock that is held here, so its token source is not disposed of yet.
            if ((ofChanges ?? reader.WantsChanges) == reader.WantsChanges && !events.Writer.TryWrite(text)
                && _readers.TryRemove(events, out _))
            {
                BackgroundTask.Run(reader.Ended.CancelAsync(), _logger, "management: ending an event stream");
            }
        }
    }

    private void SendSnapshotNeedsLock()
    {
        var readers = _readers.Values;
        if (readers.All(reader => !reader.WantsChanges))
        {
            _sent = null;
        }
        if (readers.Count == 0)
        {
            return;
        }
        var snapshot = SnapshotNeedsLock();
        if (readers.Any(reader => !reader.WantsChanges))
        {
            SendNeedsLock(Event("snapshot", snapshot), ofChanges: false);
        }
        if (_sent is not null)
        {
            SendNeedsLock(Event("update", StatusChanges.Between(_sent, snapshot)), ofChanges: true);
            _sent = snapshot;
        }
    }

    private static byte[] Event(string name, JsonNode data)
    {
        var json = JsonText.Bytes(data);
        return [.. Encoding.UTF8.GetBytes($"event: {name}\ndata: "), .. json, .. "\n\n"u8];
    }

    /// <summary>One who reads the events.</summary>
    private sealed record Reader(CancellationTokenSource Ended, bool WantsChanges);
}
