using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;

namespace ChatRoom;

/// <summary>
/// Tells load balancers once a second that a server is there and how busy it is, and registers when it is asked to: after the load
/// balancer was started anew, that is. With a key (base64) every datagram is signed.
/// </summary>
internal sealed class Heartbeat(string listening, IPEndPoint source, IReadOnlyList<IPEndPoint> balancers, string? key, Func<int> load)
{
    private readonly byte[]? _key = key is null ? null : Convert.FromBase64String(key);

    public async Task RunAsync(CancellationToken stop)
    {
        using var socket = new UdpClient(source);
        var registration = $"{listening} {source}";
        var reading = AnswerAsync();
        await SendAsync(registration);
        using var rhythm = new PeriodicTimer(TimeSpan.FromSeconds(1), TimeProvider.System);
        while (await rhythm.WaitForNextTickAsync(stop))
        {
            await SendAsync($"OK load={Math.Clamp(load(), 0, 100)}");
        }
        await reading;

        async Task AnswerAsync()
        {
            while (!stop.IsCancellationRequested)
            {
                try
                {
                    var answer = Encoding.UTF8.GetString((await socket.ReceiveAsync(stop)).Buffer);
                    if (answer == "AUTH" || answer.StartsWith("AUTH ", StringComparison.Ordinal))
                    {
                        await SendAsync(registration);
                    }
                }
                catch (SocketException)
                {
                    // Windows: the load balancer was not there when the last one was sent.
                }
            }
        }

        async Task SendAsync(string text)
        {
            foreach (var balancer in balancers)
            {
                try
                {
                    await socket.SendAsync(Encoding.UTF8.GetBytes(Signed(text)), balancer, stop);
                }
                catch (SocketException)
                {
                    // The next one may get there.
                }
            }
        }
    }

    private string Signed(string text)
    {
        if (_key is null)
        {
            return text;
        }
        text = string.Create(CultureInfo.InvariantCulture, $"{text} t={TimeProvider.System.GetUtcNow().ToUnixTimeMilliseconds()}");
        return $"{text} mac={Convert.ToHexStringLower(HMACSHA256.HashData(_key, Encoding.UTF8.GetBytes(text)))}";
    }
}
