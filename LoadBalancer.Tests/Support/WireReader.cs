using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace LoadBalancer.Tests.Support;

/// <summary>A message whose every byte was understood; the head alone where its body is still to be read.</summary>
internal sealed record WireMessage(string StartLine, IReadOnlyList<(string Name, string Value)> Fields)
{
    public byte[] Body { get; init; } = [];

    public string? this[string name]
    {
        get
        {
            var values = Fields.Where(field => field.Name.Equals(name, StringComparison.OrdinalIgnoreCase)).Select(field => field.Value)
                .ToList();
            return values.Count switch
            {
                0 =>
                null,
                1 => values[0],
                _ => throw new MalformedWireException($"{values.Count} fields {name} in: {this}")
            };
        }
    }

    public int Status => int.Parse(StartLine.AsSpan(9, 3), CultureInfo.InvariantCulture);

    public override string ToString() => string.Join("\\r\\n", Fields.Select(field => $"{field.Name}: {field.Value}").Prepend(StartLine));
}

/// <summary>
/// Reads HTTP/1.1 messages as strictly as the RFCs write them, and takes nothing for whole that is not: the reader that finds every slip.
/// </summary>
internal sealed partial class WireReader(Stream stream)
{
    private readonly byte[] _buffer = new byte[16 * 1024];
    private int _start;
    private int _end;

    /// <summary>The head of a request; null where the connection ended between two.</summary>
    public async Task<WireMessage?> ReadRequestHeadAsync()
    {
        if (_start == _end && !await FillAsync())
        {
            return null;
        }
        var head = await ReadHeadAsync(RequestLine());
        Demand(head["Host"] is not null, "no Host", head);
        Demand(head["Content-Length"] is null || head["Transfer-Encoding"] is null, "two framings", head);
        return head;
    }

    /// <summary>The body that a request's head announces.</summary>
    public Task<byte[]> ReadRequestBodyAsync(WireMessage head) => ReadBodyAsync(head, "0");

    /// <summary>A whole response; interim ones are passed over.</summary>
    /// <exception cref="IOException">It ended before it was whole.</exception>
    public async Task<WireMessage> ReadResponseAsync(string method)
    {
        while (true)
        {
            var head = await ReadHeadAsync(StatusLine());
            if (head.Status is >= 200 or 101)
            {
                return head.Status is 101 or 204 or 304 || method == "HEAD" ? head : head with { Body = await ReadBodyAsync(head, null) };
            }
        }
    }

    private async Task<WireMessage> ReadHeadAsync(Regex startLine)
    {
        var first = await ReadLineAsync();
        var fields = await ReadFieldsAsync();
        var head = new WireMessage(first, fields);
        Demand(startLine.IsMatch(first), "an invalid first line", head);
        return head;
    }

    private async Task<List<(string Name, string Value)>> ReadFieldsAsync()
    {
        var fields = new List<(string, string)>();
        while (await ReadLineAsync() is { Length: > 0 } line)
        {
            var match = Field().Match(line);
            fields.Add(match.Success ? (match.Groups[1].Value, match.Groups[2].Value)
                : throw new MalformedWireException("an invalid field: " + line));
        }
        return fields;
    }

    private async Task<byte[]> ReadBodyAsync(WireMessage head, string? lengthIfUnknown)
    {
        if (head["Transfer-Encoding"] is { } coding)
        {
            Demand(coding == "chunked" && head["Content-Length"] is null, "an unknown framing", head);
            return await ReadChunksAsync();
        }
        var length = head["Content-Length"] ?? lengthIfUnknown;
        Demand(length is not null && Digits().IsMatch(length), "no length", head);
        return await ReadExactlyAsync(int.Parse(length!, CultureInfo.InvariantCulture));
    }

    private async Task<byte[]> ReadChunksAsync()
    {
        var body = new MemoryStream();
        while (true)
        {
            var size = await ReadLineAsync();
            if (!ChunkSize().IsMatch(size))
            {
                throw new MalformedWireException("an invalid chunk size: " + size);
            }
            var length = int.Parse(size, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture);
            if (length == 0)
            {
                foreach (var (name, _) in await ReadFieldsAsync())
                {
                    if (name.ToUpperInvariant() is "CONTENT-LENGTH" or "TRANSFER-ENCODING" or "HOST" or "CONNECTION")
                    {
                        throw new MalformedWireException("a forbidden trailer: " + name);
                    }
                }
                return body.ToArray();
            }
            body.Write(await ReadExactlyAsync(length));
            if (await ReadLineAsync() is { Length: > 0 } surplus)
            {
                throw new MalformedWireException("a chunk longer than it says: " + surplus);
            }
        }
    }

    private async Task<byte[]> ReadExactlyAsync(int count)
    {
        var bytes = new byte[count];
        for (var read = 0; read < count;)
        {
            if (_start == _end && !await FillAsync())
            {
                throw new EndOfStreamException();
            }
            var step = Math.Min(_end - _start, count - read);
            _buffer.AsSpan(_start, step).CopyTo(bytes.AsSpan(read));
            (_start, read) = (_start + step, read + step);
        }
        return bytes;
    }

    private async Task<string> ReadLineAsync()
    {
        var line = new StringBuilder();
        while (true)
        {
            if (_start == _end && !await FillAsync())
            {
                throw new EndOfStreamException();
            }
            var c = (char)_buffer[_start++];
            line.Append(c);
            if (c == '\n')
            {
                var text = line.ToString();
                return text.EndsWith("\r\n", StringComparison.Ordinal) && text.IndexOf('\r', StringComparison.Ordinal) == text.Length - 2
                    ? text[..^2]
                    : throw new MalformedWireException("a line that does not end in CRLF, or not only: " + text);
            }
        }
    }

    private async Task<bool> FillAsync()
    {
        (_start, _end) = (0, await stream.ReadAsync(_buffer));
        return _end > 0;
    }

    private static void Demand(bool condition, string otherwise, WireMessage message)
    {
        if (!condition)
        {
            throw new MalformedWireException($"{otherwise} in: {message}");
        }
    }

    [GeneratedRegex(@"^[!#$%&'*+\-.^_`|~0-9A-Za-z]+ [!-~]+ HTTP/1\.1\z")]
    private static partial Regex RequestLine();

    [GeneratedRegex(@"^HTTP/1\.1 [1-9][0-9][0-9] [^\x00-\x1f\x7f]*\z")]
    private static partial Regex StatusLine();

    [GeneratedRegex(@"^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)\z")]
    private static partial Regex Field();

    [GeneratedRegex(@"^[0-9]{1,9}\z")]
    private static partial Regex Digits();

    [GeneratedRegex(@"^[0-9a-fA-F]{1,7}\z")]
    private static partial Regex ChunkSize();
}

/// <summary>Something that no HTTP/1.1 sender may write.</summary>
internal sealed class MalformedWireException(string message) : Exception(message);
