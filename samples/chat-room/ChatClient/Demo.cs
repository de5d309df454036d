using System.Diagnostics;
using System.Net;
using System.Threading.Channels;
using Samples;

/// <summary>Two clients that talk to each other while servers are killed.</summary>
/// <param name="balancer">The load balancer's address.</param>
/// <param name="timeout">Cancelled when the demo has taken too long.</param>
internal sealed class Demo(IPEndPoint balancer, CancellationToken timeout)
{
    private static readonly TimeSpan RepeatInterval = TimeSpan.FromMilliseconds(300);

    /// <summary>Runs it.</summary>
    /// <param name="victims">The processes to kill, one after the other: a data server and a logic server.</param>
    /// <returns>The exit code: 0 if both clients have received everything.</returns>
    public async Task<int> RunAsync(int[] victims)
    {
        try
        {
            var (ana, ben) = await MeetAsync();
            using (ana.Session)
            using (ben.Session)
            {
                await SayAsync(ana, ana, ben, "hello from one logic server");
                await SayAsync(ben, ana, ben, "hello from the other");
                foreach (var victim in victims)
                {
                    using var process = Process.GetProcessById(victim);
                    Console.WriteLine($"(killing process {victim})");
                    process.Kill();
                    await SayAsync(ana, ana, ben, $"still there, without {victim}?");
                    await SayAsync(ben, ana, ben, $"even without {victim}");
                }
            }
            return 0;
        }
        catch (OperationCanceledException)
        {
            Console.WriteLine("(not both clients have received everything)");
            return 1;
        }
    }

    // Connects both until each is at a logic server of its own, where it is the only member of the room.
    private async Task<(Talker Ana, Talker Ben)> MeetAsync()
    {
        while (true)
        {
            Talker ana = new("ana", balancer), ben = new("ben", balancer);
            if (await ana.IsAloneAsync(timeout) && await ben.IsAloneAsync(timeout))
            {
                return (ana, ben);
            }
            ana.Session.Dispose();
            ben.Session.Dispose();
        }
    }

    // Repeats the text until both have received it: what is sent while a server is being killed may be lost.
    private async Task SayAsync(Talker speaker, Talker ana, Talker ben, string text)
    {
        using var done = CancellationTokenSource.CreateLinkedTokenSource(timeout);
        var repeating = RepeatAsync();
        foreach (var talker in new[] { ana, ben })
        {
            var expected = $"kitchen {speaker.Name}: {text}";
            await talker.ReceiveAsync(line => line == expected, timeout);
            Console.WriteLine($"[{talker.Name}] {expected}");
        }
        await done.CancelAsync();
        await repeating;

        async Task RepeatAsync()
        {
            while (!done.IsCancellationRequested)
            {
                speaker.Session.Say($"say kitchen {text}");
                await Task.Delay(RepeatInterval, TimeProvider.System, done.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private sealed class Talker
    {
        private readonly Channel<string> _received = Channel.CreateUnbounded<string>();

        public Talker(string name, IPEndPoint balancer)
        {
            (Name, Session) = (name, new ChatSession(balancer, line => _received.Writer.TryWrite(line)));
            Session.Say($"join kitchen {name}"); // sent as soon as it is connected
            Background.Run(Session.RunAsync);
        }

        public string Name { get; }

        public ChatSession Session { get; }

        public async Task<bool> IsAloneAsync(CancellationToken stop)
        {
            await ReceiveAsync(line => line == "joined kitchen", stop);
            Session.Say("list");
            return await ReceiveAsync(line => line.StartsWith("rooms ", StringComparison.Ordinal), stop) == "rooms kitchen (1)";
        }

        /// <summary>Reads lines until one is the one that is wanted, and returns that.</summary>
        public async Task<string> ReceiveAsync(Func<string, bool> isWanted, CancellationToken stop)
        {
            while (true)
            {
                var line = await _received.Reader.ReadAsync(stop);
                if (isWanted(line))
                {
                    return line;
                }
            }
        }
    }
}
