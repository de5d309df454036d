using System.Buffers.Binary;
using System.Net;
using System.Runtime.InteropServices;
using LoadBalancer.Net;

namespace LoadBalancer.Http.Guards.Rates;

/// <summary>What the requests of one key have in common, compiled.</summary>
internal sealed class RateKey
{
    /// <summary>The key that needs a client who was authenticated.</summary>
    public const string User = "User";

    private const string HeaderPrefix = "Header:";

    private readonly Func<HttpRequest, IPAddress?, string?, ulong> _of;

    /// <summary>Compiles a valid key.</summary>
    public RateKey(string key)
    {
        var header = HeaderOf(key);
        _of = key switch
        {
            _ when header is not null => (request, _, _) => OfText(request.Headers[header].ToString()),
            "Host" => (request, _, _) => OfText(request.Host.Host.TrimEnd('.').ToLowerInvariant()), // as routes compare it
            "Client" => (_, client, _) => OfAddress(client),
            User => (_, _, user) => OfText(user ?? ""),
            _ => (_, _, _) => 0,
        };
    }

    /// <summary>Whether the text is a key.</summary>
    public static bool IsValid(string key) => key is "Client" or "Host" or User or "All" || HeaderOf(key) is { Length: > 0 };

    /// <summary>The key of a request, as a number. Different texts hardly ever have the same.</summary>
    public ulong Of(HttpRequest request, IPAddress? client, string? user) => _of(request, client, user);

    /// <summary>The name of the field that a key names; null where it names none.</summary>
    public static string? HeaderOf(string key) =>
        key.StartsWith(HeaderPrefix, StringComparison.Ordinal) ? key[HeaderPrefix.Length..] : null;

    // Both hashes have random seeds: nobody can choose a text that has the number of another.
    private static ulong OfText(string text)
    {
        var second = new HashCode();
        second.AddBytes(MemoryMarshal.AsBytes(text.AsSpan()));
        return (ulong)(uint)string.GetHashCode(text) << 32 | (uint)second.ToHashCode();
    }

    /// <summary>The key of an address. Of IPv6 only the network counts: 64 bits are what one client gets (RFC 6177).</summary>
    public static ulong OfAddress(IPAddress? client)
    {
        Span<byte> bytes = stackalloc byte[16];
        return client is not null && client.Unmap().TryWriteBytes(bytes, out var length)
            ? length == 4 ? BinaryPrimitives.ReadUInt32BigEndian(bytes) : BinaryPrimitives.ReadUInt64BigEndian(bytes)
            : 0;
    }
}
