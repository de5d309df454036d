using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;

namespace LoadBalancer.Tests.Support;

/// <summary>Clients that trust one root, and open a connection for each request.</summary>
internal sealed class TlsClients : IDisposable
{
    private readonly int _port;
    private readonly string[] _names;
    private readonly HttpClient _client;
    private readonly CancellationTokenSource _end = new();

    public TlsClients(int port, X509Certificate2 root, params string[] names)
    {
        (_port, _names) = (port, names);
        var policy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
        };
        policy.CustomTrustStore.Add(root);
        _client = new HttpClient(new SocketsHttpHandler
        {
            UseProxy = false,
            PooledConnectionLifetime = TimeSpan.Zero,
            SslOptions = { CertificateChainPolicy = policy },
            ConnectCallback = async (_, cancellationToken) =>
            {
                var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
                await socket.ConnectAsync("127.0.0.1", port, cancellationToken);
                return new NetworkStream(socket, ownsSocket: true);
            },
        });
    }

    public ConcurrentQueue<string> Failures { get; } = [];

    public int Answered { get; private set; }

    /// <summary>Why a name is not answered; null where it is.</summary>
    public async Task<string?> TryAskAsync(string name)
    {
        try
        {
            return await _client.GetStringAsync($"https://{name}:{_port}/") == "one" ? null : "another answer";
        }
        catch (HttpRequestException e)
        {
            return e.ToString();
        }
    }

    public async Task<bool> AllAnswerAsync()
    {
        foreach (var name in _names)
        {
            if (await TryAskAsync(name) is not null)
            {
                return false;
            }
        }
        return true;
    }

    public async Task LoadAsync()
    {
        while (!_end.IsCancellationRequested)
        {
            if (await TryAskAsync(_names[Answered % _names.Length]) is { } failure)
            {
                Failures.Enqueue(failure);
            }
            Answered++;
        }
    }

    public async Task EndAsync(Task load)
    {
        await _end.CancelAsync();
        await load;
    }

    public void Dispose()
    {
        _client.Dispose();
        _end.Dispose();
    }
}
