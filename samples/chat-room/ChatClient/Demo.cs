using System.Diagnostics;
using System.Net;
using System.Threading.Channels;

/// <summary>A talk of two that goes by itself, while servers are killed.</summary>
/// <param name="balancer">Where the load balancer is.</param>
/// <param name="enough">When it must have come to its end.</param>
internal sealed class Demo(IPEndPoint balancer, CancellationToken enough)
{
    /// <param name="victims">Process ids of a data server and a logic server.</param>
    /// <returns>The exit code: 0 where both have heard everything.</returns>
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
            Console.WriteLine("(not everybody has heard everything)");
            return 1;
        }
    }

    // Each at a logic server of its own: there the room has no other member.
    private async Task<(Talker Ana, Talker Ben)> MeetAsync()
    {
        while (true)
        {
            Talker ana = new("ana", balancer), ben = new("ben", balancer);
            if (await ana.IsAloneAsync(enough) && await ben.IsAloneAsync(enough))
            {
                return (ana, ben);
            }
            ana.Session.Dispose();
            ben.Session.Dispose();
        }
    }

    // Again, until both have heard it: where a server has just been lost, what is said may be lost with it.
    private async Task SayAsync(Talker speaker, Talker ana, Talker ben, string text)
    {
        using var heard = CancellationTokenSource.CreateLinkedTokenSource(enough);
        var saying = RepeatAsync();
        foreach (var talker in new[] { ana, ben })
        {
            var line = $"kitchen {speaker.Name}: {text}";
            await talker.HearAsync(said => said == line, enough);
            Console.WriteLine($"[{talker.Name}] {line}");
        }
        await heard.CancelAsync();
        await saying;

        async Task RepeatAsync()
        {
            while (!heard.IsCancellationRequested)
            {
                speaker.Session.Say($"say kitchen {text}");
                await Task.Delay(TimeSpan.FromMilliseconds(300), TimeProvider.System, heard.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private sealed class Talker
    {
        private readonly Channel<string> _heard = Channel.CreateUnbounded<string>();

        public Talker(string name, IPEndPoint balancer)
        {
            (Name, Session) = (name, new ChatSession(balancer, line => _heard.Writer.TryWrite(line)));
            Session.Say($"join kitchen {name}");
            _ = Session.RunAsync();
        }

        public string Name { get; }

        public ChatSession Session { get; }

        public async Task<bool> IsAloneAsync(CancellationToken stop)
        {
            await HearAsync(line => line == "joined kitchen", stop);
            Session.Say("list");
            return await HearAsync(line => line.StartsWith("rooms ", StringComparison.Ordinal), stop) == "rooms kitchen (1)";
        }

        /// <summary>Passes over lines until one comes that is it.</summary>
        public async Task<string> HearAsync(Func<string, bool> isIt, CancellationToken stop)
        {
            while (true)
            {
                var line = await _heard.Reader.ReadAsync(stop);
                if (isIt(line))
                {
                    return line;
                }
            }
        }
    }
}
