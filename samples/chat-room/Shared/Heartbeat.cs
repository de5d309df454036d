using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;

namespace ChatRoom;

/// <summary>
/// Tells load balancers once a second that a server is up and how busy it is. Registers at the start, and again when a load balancer asks
/// for it, as one does that has restarted. With a key (base64) every datagram is signed.
/// </summary>
/// <param name="address">Where the server accepts connections.</param>
/// <param name="source">Where the datagrams are sent from, and where answers arrive.</param>
/// <param name="balancers">Where load balancers receive heartbeats.</param>
/// <param name="key">Base64; null for no signature.</param>
/// <param name="load">How busy the server is, 0 to 100.</param>
internal sealed class Heartbeat(string address, IPEndPoint source, IReadOnlyList<IPEndPoint> balancers, string? key, Func<int> load)
{
    private readonly byte[]? _key = key is null ? null : Convert.FromBase64String(key);

    public async Task RunAsync(CancellationToken stop)
    {
        using var socket = new UdpClient(source);
        var registration = $"{address} {source}";
        await Task.WhenAll(ReportAsync(), AnswerAsync());

        async Task ReportAsync()
        {
            await SendAsync(registration);
            using var timer = new PeriodicTimer(TimeSpan.FromSeconds(1), TimeProvider.System);
            while (await timer.WaitForNextTickAsync(stop))
            {
                await SendAsync($"OK load={Math.Clamp(load(), 0, 100)}");
            }
        }

        async Task AnswerAsync()
        {
            while (true)
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
                    // Windows reports here that the last datagram had no receiver.
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
                    // The next one may arrive.
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
