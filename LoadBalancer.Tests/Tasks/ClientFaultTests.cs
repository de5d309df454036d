using System.Text;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Tasks;

/// <summary>Whatever a client of tasks does alone: no worker loses its connection for it, or looks ill.</summary>
internal sealed class ClientFaultTests
{
    private const int MaxLineLength = 4096;

    // Each is what one client sends, and whether it then resets its connection.
    private static readonly (string Name, string Sent, bool IsReset)[] Faults =
    [
        ("a task whose line is as long as it may be", $"TASK|a|{new string('x', MaxLineLength - 7)}\n", false),
        ("an id that is as long as it may be", $"TASK|{new string('i', MaxLineLength - 6)}|\n", false),
        ("an id of 1024 bytes", $"TASK|{new string('i', 1024)}|{new string('x', MaxLineLength - 1024 - 6)}\n", false),
        ("a line that is too long", $"TASK|a|{new string('x', MaxLineLength)}\n", false),
        ("control characters", "TASK|a\r\0\u2028\u001b|\r\0\u0085\u2028\u2029|\r\r\n", false),
        ("bytes that are not UTF-8", "TASK|a|\ud800\nTASK|\udfff|x\n", false),
        ("commands of a worker", "REGISTER|good\nTASK_RESULT|a|1\nACK|good\nASSIGN_TASK|a|1\n", false),
        ("malformed lines only", string.Concat(Enumerable.Repeat("HELLO\n", 200)), false),
        ("an id that is in flight, again and again", string.Concat(Enumerable.Repeat("TASK|a|1\n", 500)), false),
        ("more tasks than the queue holds", string.Concat(Enumerable.Range(0, 500).Select(i => $"TASK|{i}|1\n")), false),
        ("many tasks, and a reset", string.Concat(Enumerable.Range(0, 50).Select(i => $"TASK|{i}|1\n")), true),
        ("half a task, and a reset", "TASK|a|1", true),
        ("nothing, and a reset", "", true),
    ];

    [Test]
    public async Task Client_DoesWhatItShouldNot_NoWorkerLooksIll([Range(0, 12)] int number)
    {
        var (name, sent, isReset) = Faults[number];
        await using var node = await TasksNode.StartAsync(
            listener => listener with { MaxLineLength = MaxLineLength, QueueLimit = 20 });
        using var worker = await RawPeer.ConnectAsync(node.WorkerPort);
        await worker.SendAsync("REGISTER|good|4\n");
        (await worker.ReadUntilAsync("\n")).Should().Be("ACK|good\n");
        var working = EchoAsync(worker);

        var bad = new List<LinePeer>();
        for (var i = 0; i < 5; i++)
        {
            bad.Add(await node.ConnectAsync());
            try
            {
                await bad[^1].SendRawAsync(Encoding.UTF8.GetBytes(sent));
            }
            catch (System.Net.Sockets.SocketException)
            {
                // It was disconnected.
            }
            if (isReset)
            {
                bad[^1].Reset();
            }
        }

        using var client = await node.ConnectAsync();
        string? answer;
        do
        {
            await client.SendAsync("TASK|fine|1");
            answer = await client.ReadAsync();
        }
        while (answer == "RESULT|fine|ERROR: queue is full");
        answer.Should().Be("RESULT|fine|1", name);
        await Eventually.BeTrueAsync(() => node.Listener.Counts is { Running: 0, Waiting: 0 }, $"all is done after {name}");
        working.IsCompleted.Should().BeFalse("the worker has kept its connection");
        var backend = node.Pool.Snapshot.Eligible.Should().ContainSingle().Subject;
        (backend.Name, backend.Failures, backend.InFlight, backend.MaxInFlight).Should().Be(("good", 0, 0, 4));
        node.Listener.Counts.Lost.Should().Be(0);
        bad.ForEach(peer => peer.Dispose());
    }

    // Answers each task with its data. Reads bytes, as \r and such end no line.
    private static async Task EchoAsync(RawPeer worker)
    {
        while (await worker.ReadUntilAsync("\n") is { } line)
        {
            if (line.StartsWith("ASSIGN_TASK|", StringComparison.Ordinal))
            {
                await worker.SendAsync("TASK_RESULT|" + line["ASSIGN_TASK|".Length..]);
            }
        }
    }
}
