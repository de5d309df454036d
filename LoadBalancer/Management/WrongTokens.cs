using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;

namespace LoadBalancer.Management;

/// <summary>
/// Makes it slow to guess the token. Each client address (of IPv6 each network of 64 bits) has <see cref="Tries"/>; each wrong token costs
/// one, and one comes back every <see cref="TryInterval"/>. Without one left no token is looked at, not even the right one. Wrong tokens
/// are counted, and logged once in ten seconds at most. Thread-safe.
/// </summary>
internal sealed partial class WrongTokens(TimeProvider time, ILogger<WrongTokens> logger)
{
    /// <summary>How many wrong tokens may come at once.</summary>
    public const int Tries = 5;

    /// <summary>How many addresses are remembered. Beyond that the one that has waited for longest is forgotten.</summary>
    public const int MostClients = 4096;

    /// <summary>How long it takes until one more try is allowed.</summary>
    public static readonly TimeSpan TryInterval = TimeSpan.FromSeconds(5);

    private readonly LogGate _logGate = new(time);
    private readonly Lock _gate = new();
    private readonly long _started = time.GetTimestamp();
    private readonly Dictionary<UInt128, TimeSpan> _allBack = []; // when an address has all its tries again, since the start
    private long _wrong;
    private long _paused;
    private long _logged;

    /// <summary>Tokens that were looked at and wrong.</summary>
    public long Wrong => Interlocked.Read(ref _wrong);

    /// <summary>Tokens that were not looked at.</summary>
    public long Paused => Interlocked.Read(ref _paused);

    /// <summary>How many addresses are remembered now.</summary>
    internal int Clients
    {
        get
        {
            lock (_gate)
            {
                return _allBack.Count;
            }
        }
    }

    /// <summary>Looks at a token, unless its sender was wrong too often.</summary>
    /// <param name="client">The sender; null: through a Unix socket.</param>
    /// <param name="isRight">Looks at it.</param>
    public TokenCheck Check(IPAddress? client, Func<bool> isRight)
    {
        var key = KeyOf(client ?? IPAddress.None);
        // The try is taken before the token is looked at: many connections must not have more tries than one.
        if (!TryTake(key))
        {
            Interlocked.Increment(ref _paused);
            return TokenCheck.Paused;
        }
        if (isRight())
        {
            GiveBack(key);
            return TokenCheck.Right;
        }
        var wrong = Interlocked.Increment(ref _wrong);
        if (_logGate.TryPass())
        {
            LogWrong(wrong - Interlocked.Exchange(ref _logged, wrong), UnixPeers.Text(client));
        }
        return TokenCheck.Wrong;
    }

    private bool TryTake(UInt128 key)
    {
        lock (_gate)
        {
            var now = time.GetElapsedTime(_started);
            var allBack = _allBack.GetValueOrDefault(key);
            if (allBack - now > (Tries - 1) * TryInterval)
            {
                return false;
            }
            _allBack[key] = (allBack > now ? allBack : now) + TryInterval;
            if (_allBack.Count > MostClients)
            {
                _allBack.Remove(_allBack.MinBy(entry => entry.Value).Key);
            }
            return true;
        }
    }

    private void GiveBack(UInt128 key)
    {
        lock (_gate)
        {
            if (_allBack.TryGetValue(key, out var allBack) && allBack - TryInterval > time.GetElapsedTime(_started))
            {
                _allBack[key] = allBack - TryInterval;
            }
            else
            {
                _allBack.Remove(key);
            }
        }
    }

    private static UInt128 KeyOf(IPAddress client)
    {
        var address = client.Unmap();
        Span<byte> bytes = stackalloc byte[16];
        bytes.Clear();
        address.TryWriteBytes(bytes, out _);
        if (address.AddressFamily == AddressFamily.InterNetworkV6)
        {
            bytes[8..].Clear();
        }
        return BinaryPrimitives.ReadUInt128BigEndian(bytes);
    }

    [LoggerMessage(72, LogLevel.Warning,
        "management: wrong tokens: {Count}, the last from {Client}; an address that sends several is refused for some seconds")]
    private partial void LogWrong(long count, string client);
}
