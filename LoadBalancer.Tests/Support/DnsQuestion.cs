using System.Net;
using System.Net.Sockets;

namespace LoadBalancer.Tests.Support;

/// <summary>A question that a <see cref="DnsStub"/> got.</summary>
/// <param name="Message">All of it.</param>
/// <param name="IsTcp">Whether it came over TCP.</param>
/// <param name="Client">Who asks, by a datagram.</param>
/// <param name="ReplyAsync">Sends an answer.</param>
internal sealed record DnsQuestion(byte[] Message, bool IsTcp, EndPoint? Client, Func<byte[], Task> ReplyAsync)
{
    private const int NameAt = 12;

    /// <summary>The name that is asked for.</summary>
    public string Name
    {
        get
        {
            List<string> labels = [];
            for (var at = NameAt; Message[at] != 0; at += Message[at] + 1)
            {
                labels.Add(System.Text.Encoding.ASCII.GetString(Message, at + 1, Message[at]));
            }
            return string.Join('.', labels);
        }
    }

    /// <summary>The type of records that are asked for.</summary>
    public string Type => Message[QuestionEnd - 3] switch { 1 => "A", 28 => "AAAA", 33 => "SRV", var other => $"{other}" };

    /// <summary>Whether it says how large an answer may be.</summary>
    public bool HasOptions => Message[11] == 1;

    private int QuestionEnd => Array.IndexOf(Message, (byte)0, NameAt) + 5;

    /// <summary>An answer.</summary>
    /// <param name="code">The response code.</param>
    /// <param name="records">
    /// Such as <c>A 60 127.0.0.1</c>, <c>SRV 60 0 10 80 a.test</c>; of another name with it in front: <c>a.test A …</c>.
    /// </param>
    public byte[] Answer(int code, params string[] records) => Build(code, false, records, []);

    /// <summary>An answer with additional records.</summary>
    public byte[] AnswerWith(string[] records, string[] additional) => Build(0, false, records, additional);

    /// <summary>An answer that says that it is not complete.</summary>
    public byte[] Truncated() => Build(0, true, [], []);

    /// <summary>Sends a datagram to the client from another port than the one it has asked, or also from another address.</summary>
    public async Task ReplyFromElsewhereAsync(byte[] answer, string address = "127.0.0.1", int port = 0)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        socket.Bind(new IPEndPoint(IPAddress.Parse(address), port));
        await socket.SendToAsync(answer, Client!);
    }

    private byte[] Build(int code, bool isTruncated, string[] records, string[] additional)
    {
        List<byte> bytes = [Message[0], Message[1], (byte)(isTruncated ? 0x83 : 0x81), (byte)(0x80 | code), 0, 1];
        AddNumber(bytes, records.Length);
        AddNumber(bytes, 0);
        AddNumber(bytes, additional.Length);
        bytes.AddRange(Message[NameAt..QuestionEnd]);
        foreach (var record in records.Concat(additional))
        {
            AddRecord(bytes, record.Split(' '));
        }
        return [.. bytes];
    }

    private static void AddRecord(List<byte> bytes, string[] words)
    {
        if (words[0] is "A" or "AAAA" or "SRV" or "CNAME")
        {
            bytes.AddRange([0xC0, NameAt]); // the name in the question
        }
        else
        {
            AddName(bytes, words[0]);
            words = words[1..];
        }
        AddNumber(bytes, words[0] switch { "A" => 1, "AAAA" => 28, "SRV" => 33, _ => 5 });
        AddNumber(bytes, 1);
        AddNumber(bytes, 0);
        AddNumber(bytes, int.Parse(words[1], System.Globalization.CultureInfo.InvariantCulture));
        List<byte> data = [];
        if (words[0] is "A" or "AAAA")
        {
            data.AddRange(IPAddress.Parse(words[2]).GetAddressBytes());
        }
        else
        {
            words[2..^1].ToList().ForEach(number => AddNumber(data, int.Parse(number, System.Globalization.CultureInfo.InvariantCulture)));
            AddName(data, words[^1]);
        }
        AddNumber(bytes, data.Count);
        bytes.AddRange(data);
    }

    private static void AddNumber(List<byte> bytes, int value) => bytes.AddRange([(byte)(value >> 8), (byte)value]);

    private static void AddName(List<byte> bytes, string name)
    {
        foreach (var label in name.Split('.', StringSplitOptions.RemoveEmptyEntries))
        {
            bytes.Add((byte)label.Length);
            bytes.AddRange(System.Text.Encoding.ASCII.GetBytes(label));
        }
        bytes.Add(0);
    }
}
