using System.Globalization;
using System.Text;
using LoadBalancer.Net;
using LoadBalancer.Tasks;
using LoadBalancer.Transport;
using Microsoft.Extensions.Logging.Abstractions;
using Samples;

namespace TaskLoad;

/// <summary>The clients and the workers.</summary>
internal sealed class Peers(int clientPort, int workerPort, Load load)
{
    private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _sent;
    private int _answered;

    /// <summary>Runs until every task has its result.</summary>
    /// <returns>Tasks per second.</returns>
    public async Task<double> RunAsync()
    {
        var registered = new CountdownEvent(load.Workers);
        for (var i = 0; i < load.Workers; i++)
        {
            var worker = await Peer.OpenAsync(workerPort, (writer, line) => Work(writer, line, registered));
            worker.Send($"REGISTER|w{i}|{load.Capacity}\n");
        }
        while (!registered.IsSet)
        {
            await Task.Delay(TimeSpan.FromMilliseconds(10), TimeProvider.System);
        }
        var data = Encoding.UTF8.GetBytes($"|{new string('1', load.Size)}\n");
        var clients = new List<Peer>();
        for (var i = 0; i < load.Clients; i++)
        {
            clients.Add(await Peer.OpenAsync(clientPort, (writer, _) =>
            {
                SendTask(writer, data);
                if (Interlocked.Increment(ref _answered) == load.Tasks)
                {
                    _done.SetResult();
                }
            }));
        }
        var started = TimeProvider.System.GetTimestamp();
        clients.ForEach(client => client.Send(writer =>
        {
            for (var i = 0; i < load.Outstanding; i++)
            {
                SendTask(writer, data);
            }
        }));
        await _done.Task;
        return load.Tasks / TimeProvider.System.GetElapsedTime(started).TotalSeconds;
    }

    private void SendTask(LineWriter writer, byte[] data)
    {
        if (Interlocked.Increment(ref _sent) is var number && number <= load.Tasks)
        {
            Span<byte> id = stackalloc byte[12];
            number.TryFormat(id, out var length, default, CultureInfo.InvariantCulture);
            writer.Append("TASK|"u8, id[..length], data);
        }
    }

    private static void Work(LineWriter writer, ReadOnlySpan<byte> line, CountdownEvent registered)
    {
        if (line.StartsWith("ASSIGN_TASK|"u8))
        {
            var id = line["ASSIGN_TASK|".Length..];
            writer.Append("TASK_RESULT|"u8, id[..id.IndexOf((byte)'|')], "|ok\n"u8);
        }
        else
        {
            registered.Signal();
        }
    }

    /// <summary>One connection.</summary>
    private sealed class Peer
    {
        public delegate void OnLine(LineWriter writer, ReadOnlySpan<byte> line);

        private readonly ISocketConnection _connection;
        private readonly LineWriter _writer;

        private Peer(ISocketConnection connection) =>
            (_connection, _writer) =
            (connection, new LineWriter(connection, TimeSpan.FromMinutes(1), _ => { }, TimeProvider.System, NullLogger.Instance));

        public static async Task<Peer> OpenAsync(int port, OnLine onLine)
        {
            var peer = new Peer(await Connector.OpenAsync(new EndpointAddress("tcp", "127.0.0.1", port), null, CancellationToken.None));
            Background.Run(() => peer.ListenAsync(onLine));
            return peer;
        }

        public void Send(string line) => Send(writer => writer.Append(Encoding.UTF8.GetBytes(line)));

        public void Send(Action<LineWriter> write)
        {
            write(_writer);
            _writer.Flush();
        }

        private async Task ListenAsync(OnLine onLine)
        {
            var lines = new LineBuffer(64 * 1024);
            while (await _connection.ReceiveAsync(lines.Room) is > 0 and var count)
            {
                lines.Add(count);
                while (lines.TryTake(out var line))
                {
                    if (line.StartsWith("ERROR"u8) || line.IndexOf("|ERROR"u8) >= 0)
                    {
                        throw new InvalidOperationException(Encoding.UTF8.GetString(line));
                    }
                    onLine(_writer, line);
                }
                Outbox.Flush();
            }
        }
    }
}
