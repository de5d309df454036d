using System.Buffers.Binary;
using System.Net;
using System.Runtime.InteropServices;
using LoadBalancer.Net;

namespace LoadBalancer.Pools;

/// <summary>A hash of a client's address, or of what else says who a request is for. It is the same in every process, so that all nodes
/// agree.</summary>
public static class ClientHash
{
    /// <summary>The hash of an address; an IPv4-mapped IPv6 address has the hash of the IPv4 address; 0 if there is no address.</summary>
    public static ulong Of(IPAddress? address)
    {
        Span<byte> bytes = stackalloc byte[16];
        if (address is null || !address.Unmap().TryWriteBytes(bytes, out var length))
        {
            return 0;
        }
        bytes[length..].Clear();
        return Mix(Mix(BinaryPrimitives.ReadUInt64LittleEndian(bytes)) ^ BinaryPrimitives.ReadUInt64LittleEndian(bytes[8..]));
    }

    /// <summary>The hash of a text, character by character; 0 of an empty one.</summary>
    public static ulong OfText(ReadOnlySpan<char> text)
    {
        var hash = 0UL;
        var four = MemoryMarshal.Cast<char, ulong>(text);
        foreach (var characters in four)
        {
            hash = Mix(hash ^ characters);
        }
        foreach (var character in text[(4 * four.Length)..])
        {
            hash = Mix(hash ^ character);
        }
        return hash;
    }

    /// <summary>Spreads any number over all 64 bits (the finalizer of SplitMix64: Steele, Lea and Flood, 2014).</summary>
    public static ulong Mix(ulong value)
    {
        value += 0x9E3779B97F4A7C15;
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }
}
