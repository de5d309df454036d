using System.Net;
using System.Net.Sockets;

namespace ChatRoom;

/// <summary>What both kinds of server are told on the command line: <c>--name value</c>, in any order.</summary>
internal sealed class ServerOptions(string[] args)
{
    private readonly Dictionary<string, string> _values = args.Chunk(2).ToDictionary(pair => pair[0], pair => pair.Length == 2 ? pair[1] : "");

    public IPEndPoint Listen => IPEndPoint.Parse(Need("--listen"));

    public string Need(string name) => _values.GetValueOrDefault(name) ?? throw new FormatException($"{name} is missing");

    /// <summary>Accepts connections until the process is told to stop, and sends heartbeats meanwhile.</summary>
    public async Task RunAsync(string what, Func<int> load, Func<LinePeer, Task> serve, params Func<CancellationToken, Task>[] beside)
    {
        using var stop = new CancellationTokenSource();
        using var interrupt = System.Runtime.InteropServices.PosixSignalRegistration.Create(System.Runtime.InteropServices.PosixSignal.SIGINT, Stop);
        using var terminate = System.Runtime.InteropServices.PosixSignalRegistration.Create(System.Runtime.InteropServices.PosixSignal.SIGTERM, Stop);
        var heartbeat = new Heartbeat(Listen.ToString(), IPEndPoint.Parse(Need("--heartbeat-from")), [.. Need("--heartbeat-to").Split(',').Select(IPEndPoint.Parse)], _values.GetValueOrDefault("--key"), load);
        using var listener = new TcpListener(Listen);
        listener.Start();
        Console.WriteLine($"{what} listens on {listener.LocalEndpoint}");
        await Task.WhenAll([AcceptAsync(), heartbeat.RunAsync(stop.Token), .. beside.Select(run => run(stop.Token))]).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        void Stop(System.Runtime.InteropServices.PosixSignalContext context)
        {
            context.Cancel = true;
            stop.Cancel();
        }

        async Task AcceptAsync()
        {
            while (true)
            {
                _ = ServeAsync(new LinePeer(await listener.AcceptTcpClientAsync(stop.Token)));
            }
        }

        async Task ServeAsync(LinePeer peer)
        {
            using (peer)
            {
                await serve(peer);
            }
        }
    }
}
