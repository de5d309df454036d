// The peers of a broker, all in this process: REQ clients that send the next request as soon as they have an answer, and REP workers that
// answer at once.
//
//   BrokerLoad CLIENTS_PORT WORKERS_PORT CLIENTS WORKERS SECONDS
//
// Warms up for a second, prints "ready", waits for a line on standard input, and prints "requests seconds 99th-percentile-in-ms".
using System.Net;
using System.Text;
using LoadBalancer.Zmtp;
using Samples;

var numbers = args.Select(int.Parse).ToArray();
var (clientsPort, workersPort, clientCount, workerCount, seconds) = (numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]);
var time = TimeProvider.System;

var workers = Enumerable.Range(0, workerCount).Select(_ => new ReplySocket()).ToList();
foreach (var worker in workers)
{
    worker.Connect(new IPEndPoint(IPAddress.Loopback, workersPort));
    Background.Run(() => AnswerAsync(worker));
}
var clients = Enumerable.Range(0, clientCount)
    .Select(i => new RequestSocket { Identity = Encoding.ASCII.GetBytes($"00000000-0000-0000-0000-{i:000000000000}") })
    .ToList();
foreach (var client in clients)
{
    client.Connect(new IPEndPoint(IPAddress.Loopback, clientsPort));
}
await AskAsync(TimeSpan.FromSeconds(1));
Console.WriteLine("ready");
Console.ReadLine();
var from = time.GetTimestamp();
var times = await AskAsync(TimeSpan.FromSeconds(seconds));
var elapsed = time.GetElapsedTime(from).TotalSeconds;
times.Sort();
Console.WriteLine(FormattableString.Invariant($"{times.Count} {elapsed:0.000} {times[times.Count * 99 / 100].TotalMilliseconds:0.000}"));
Environment.Exit(0); // without closing the connections one by one

static async Task AnswerAsync(ReplySocket worker)
{
    var answer = ZmtpMessage.Of("PONG");
    while (true)
    {
        (await worker.ReceiveAsync()).Reply(answer);
    }
}

async Task<List<TimeSpan>> AskAsync(TimeSpan duration)
{
    var until = time.GetTimestamp() + (long)(duration.TotalSeconds * time.TimestampFrequency);
    var all = await Task.WhenAll(clients.Select(async client =>
    {
        var times = new List<TimeSpan>();
        var question = ZmtpMessage.Of(Encoding.ASCII.GetString(client.Identity.Span), "PING");
        for (var asked = time.GetTimestamp(); asked < until; asked = time.GetTimestamp())
        {
            await client.RequestAsync(question);
            times.Add(time.GetElapsedTime(asked));
        }
        return times;
    }));
    return [.. all.SelectMany(times => times)];
}
