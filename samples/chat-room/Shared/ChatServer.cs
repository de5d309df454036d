using System.CommandLine;
using System.Net;
using System.Net.Sockets;
using Samples;

namespace ChatRoom;

/// <summary>What both kinds of server have in common: their options, accepting connections, heartbeats.</summary>
/// <param name="kind">What the server calls itself in the lines that it prints.</param>
internal sealed class ChatServer(string kind)
{
    private readonly Option<IPEndPoint> _listen = CommandLine.EndPoint("--listen", "Where it accepts connections.");
    private readonly Option<IPEndPoint> _heartbeatFrom = CommandLine.EndPoint("--heartbeat-from", "Where it sends heartbeats from (UDP).");
    private readonly Option<IPEndPoint[]> _heartbeatTo = EndPoints("--heartbeat-to", "Where load balancers receive heartbeats (UDP).");
    private readonly Option<string?> _key = new("--key") { Description = "The key that signs heartbeats.", HelpName = "BASE64" };

    /// <summary>Adds its options to a command.</summary>
    public void AddTo(Command command)
    {
        foreach (var option in new Option[] { _listen, _heartbeatFrom, _heartbeatTo, _key })
        {
            command.Add(option);
        }
    }

    /// <summary>Accepts connections and sends heartbeats until the process is told to stop.</summary>
    /// <param name="options">The command line.</param>
    /// <param name="load">How busy it is, for the heartbeats: 0 to 100.</param>
    /// <param name="serve">Serves one connection.</param>
    /// <param name="link">A connection of its own to another server.</param>
    /// <param name="stop">Cancelled when the process is told to stop.</param>
    /// <returns>The exit code.</returns>
    public async Task<int> RunAsync(ParseResult options, Func<int> load, Func<LinePeer, Task> serve, LineLink link, CancellationToken stop)
    {
        var listen = options.GetRequiredValue(_listen);
        var heartbeat = new Heartbeat(
            $"{listen}", options.GetRequiredValue(_heartbeatFrom), options.GetRequiredValue(_heartbeatTo), options.GetValue(_key), load);
        using var listener = new TcpListener(listen);
        try
        {
            listener.Start();
            Console.WriteLine($"{kind} listens on {listener.LocalEndpoint}");
            // Each of them runs until the process is told to stop: the first that ends has failed, or it is time.
            await await Task.WhenAny(AcceptAsync(listener, serve, stop), heartbeat.RunAsync(stop), link.RunAsync(stop));
            return 0;
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return 0;
        }
        catch (Exception e) when (e is SocketException or FormatException)
        {
            Console.Error.WriteLine($"{kind} {listen}: {e.Message}"); // for example, an address in use; a key that is not base64
            return 1;
        }
    }

    private static async Task AcceptAsync(TcpListener listener, Func<LinePeer, Task> serve, CancellationToken stop)
    {
        while (true)
        {
            var peer = new LinePeer(await listener.AcceptTcpClientAsync(stop));
            Background.Run(async () =>
            {
                using (peer)
                {
                    await serve(peer);
                }
            });
        }
    }

    private static Option<IPEndPoint[]> EndPoints(string name, string description)
    {
        var option = CommandLine.Value("IP:PORT,IP:PORT…", name, "IP:PORT,…", description, (string text, out IPEndPoint[] value) =>
        {
            var parsed = text.Split(',').Select(part => IPEndPoint.TryParse(part, out var endPoint) ? endPoint : null).ToList();
            value = [.. parsed.OfType<IPEndPoint>()];
            return value.Length == parsed.Count;
        });
        option.Required = true;
        return option;
    }
}
