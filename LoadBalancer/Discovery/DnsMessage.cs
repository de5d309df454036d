using System.Buffers.Binary;
using System.Globalization;
using System.Net;
using System.Text;

namespace LoadBalancer.Discovery;

/// <summary>Writes questions and reads answers as DNS messages (RFC 1035 section 4).</summary>
internal static class DnsMessage
{
    /// <summary>The largest datagram that is asked for: it passes every usual network in one piece.</summary>
    public const int LargestDatagram = 1232;

    private const int HeaderLength = 12;
    private const int LongestLabel = 63;
    private const int LongestName = 255;
    private const ushort Internet = 1;
    private const ushort RecursionDesired = 0x0100;
    private const ushort IsResponse = 0x8000;
    private const ushort IsTruncated = 0x0200;

    /// <summary>A name as questions have it: international labels as A-labels (RFC 5891), no dot at the end.</summary>
    /// <exception cref="FormatException">It cannot be asked for.</exception>
    public static string NameOf(string host)
    {
        var name = host.TrimEnd('.');
        try
        {
            name = Ascii.IsValid(name) ? name : new IdnMapping().GetAscii(name);
        }
        catch (ArgumentException)
        {
            throw new FormatException($"'{host}' is not a name");
        }
        return name.Length is > 0 and < LongestName - 1 && name.Split('.').All(label => label.Length is > 0 and <= LongestLabel)
            ? name : throw new FormatException($"'{host}' is not a name");
    }

    /// <summary>
    /// Whether it is only letters, digits, hyphens, underscores and dots, so that it can be written into a field of a request. Labels of
    /// DNS names may have any byte (RFC 2181 section 11), also the end of a line.
    /// </summary>
    public static bool IsHostName(string name) => name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.');

    /// <summary>Writes a question.</summary>
    /// <param name="id">What the answer has to repeat.</param>
    /// <param name="name">See <see cref="NameOf"/>.</param>
    /// <param name="type">The records that are wanted.</param>
    /// <param name="hasOptions">Whether it says how large an answer may be (RFC 6891); a few old servers do not understand that.</param>
    public static byte[] Question(ushort id, string name, DnsRecordType type, bool hasOptions)
    {
        var bytes = new List<byte>(HeaderLength + name.Length + 20);
        void Add(int value) => bytes.AddRange([(byte)(value >> 8), (byte)value]);

        Add(id);
        Add(RecursionDesired);
        Add(1);
        Add(0);
        Add(0);
        Add(hasOptions ? 1 : 0);
        foreach (var label in name.Split('.'))
        {
            bytes.Add((byte)label.Length);
            bytes.AddRange(Encoding.ASCII.GetBytes(label));
        }
        bytes.Add(0);
        Add((int)type);
        Add(Internet);
        if (hasOptions)
        {
            bytes.Add(0); // the root
            Add((int)DnsRecordType.Opt);
            Add(LargestDatagram);
            bytes.AddRange([0, 0, 0, 0, 0, 0]); // no flags, no options
        }
        return [.. bytes];
    }

    /// <summary>Whether a message answers this question. One that does not is somebody's guess, or comes late.</summary>
    public static bool IsAnswerTo(ReadOnlySpan<byte> message, ushort id, string name, DnsRecordType type)
    {
        try
        {
            if (message.Length < HeaderLength || Number(message, 0) != id || (Number(message, 2) & IsResponse) == 0)
            {
                return false;
            }
            if (Number(message, 4) == 0)
            {
                return CodeOf(message) == DnsResponse.FormatError; // It did not get as far as the question.
            }
            var at = HeaderLength;
            return Number(message, 4) == 1 && name.Equals(ReadName(message, ref at), StringComparison.OrdinalIgnoreCase)
                && Number(message, at) == (ushort)type && Number(message, at + 2) == Internet;
        }
        catch (FormatException)
        {
            return false;
        }
    }

    /// <summary>Reads an answer.</summary>
    /// <exception cref="FormatException">It is malformed.</exception>
    public static DnsResponse Read(ReadOnlySpan<byte> message)
    {
        var at = HeaderLength;
        for (var question = Number(message, 4); question > 0; question--)
        {
            ReadName(message, ref at);
            at += 4;
        }
        var isTruncated = (Number(message, 2) & IsTruncated) != 0;
        List<DnsRecord> answers = [], additional = [];
        if (!isTruncated) // What is there of a truncated one is not looked at.
        {
            ReadRecords(message, ref at, Number(message, 6), answers);
            ReadRecords(message, ref at, Number(message, 8), []); // Who is responsible does not matter.
            ReadRecords(message, ref at, Number(message, 10), additional);
        }
        return new DnsResponse(CodeOf(message), isTruncated, answers, additional);
    }

    private static int CodeOf(ReadOnlySpan<byte> message) => Number(message, 2) & 0xF;

    private static void ReadRecords(ReadOnlySpan<byte> message, ref int at, int count, List<DnsRecord> records)
    {
        for (; count > 0; count--)
        {
            var owner = ReadName(message, ref at);
            var (type, @class, length) = ((DnsRecordType)Number(message, at), Number(message, at + 2), Number(message, at + 8));
            var seconds = (uint)(Number(message, at + 4) << 16 | Number(message, at + 6));
            var ttl = seconds > int.MaxValue ? 0 : seconds; // RFC 2181 section 8
            at += 10;
            if (at + length > message.Length)
            {
                throw new FormatException("a record goes beyond the end of the message");
            }
            if (@class == Internet && ReadRecord(message, at, length, new DnsRecord(owner, type, ttl)) is { } record)
            {
                records.Add(record);
            }
            at += length;
        }
    }

    private static DnsRecord? ReadRecord(ReadOnlySpan<byte> message, int at, int length, DnsRecord record)
    {
        switch (record.Type)
        {
            case DnsRecordType.A or DnsRecordType.Aaaa:
                return length == (record.Type == DnsRecordType.A ? 4 : 16)
                    ? record with { Address = new IPAddress(message.Slice(at, length)) }
                    : throw new FormatException("an address has the wrong length");
            case DnsRecordType.Cname:
                return record with { Target = ReadName(message, ref at) };
            case DnsRecordType.Srv:
                var (priority, weight, port) = (Number(message, at), Number(message, at + 2), Number(message, at + 4));
                at += 6;
                return record with { Priority = priority, Weight = weight, Port = port, Target = ReadName(message, ref at) };
            default:
                return null;
        }
    }

    private static ushort Number(ReadOnlySpan<byte> message, int at) =>
        at >= 0 && at + 2 <= message.Length
            ? BinaryPrimitives.ReadUInt16BigEndian(message[at..])
            : throw new FormatException("the message ends too early");

    // Labels, or the place of labels further in front (RFC 1035 section 4.1.4): never further back, so there is an end.
    private static string ReadName(ReadOnlySpan<byte> message, ref int at)
    {
        var (name, next, lowest, hasJumped) = (new StringBuilder(), at, at, false);
        while (true)
        {
            if (next >= message.Length)
            {
                throw new FormatException("a name goes beyond the end of the message");
            }
            var length = message[next++];
            if (length >= 0xC0)
            {
                var target = (length & 0x3F) << 8 | (next < message.Length ? message[next] : throw new FormatException("half a pointer"));
                at = hasJumped ? at : next + 1;
                if (target >= lowest)
                {
                    throw new FormatException("a name leads to itself");
                }
                (next, lowest, hasJumped) = (target, target, true);
                continue;
            }
            if (length > LongestLabel || next + length > message.Length || name.Length + length > LongestName)
            {
                throw new FormatException("a name is too long");
            }
            if (length == 0)
            {
                at = hasJumped ? at : next;
                return name.ToString();
            }
            name.Append(name.Length > 0 ? "." : "").Append(Encoding.Latin1.GetString(message.Slice(next, length)));
            next += length;
        }
    }
}
