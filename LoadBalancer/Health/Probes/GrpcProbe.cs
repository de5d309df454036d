using System.Buffers.Binary;
using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Pools;
using LoadBalancer.Tls;

namespace LoadBalancer.Health.Probes;

/// <summary>
/// The standard health check of gRPC, <c>grpc.health.v1.Health/Check</c>: only SERVING is success. Its two messages have one field each
/// and are written and read here.
/// </summary>
/// <param name="send">Sends the requests, each over an HTTP/2 connection of its own; without a time-out of its own.</param>
/// <param name="trust">Verifies the certificates of https:// backends.</param>
/// <param name="options">The pool's health check.</param>
/// <param name="time">The clock of the time-out.</param>
internal sealed class GrpcProbe(
    Func<ProbeRequest, CancellationToken, Task<ProbeAnswer>> send, BackendTrust trust, HealthCheckOptions options, TimeProvider time)
    : IProbe
{
    private const int PrefixSize = 5; // of a message: whether it is compressed, and its length
    private const byte FirstFieldBytes = 1 << 3 | 2;
    private const int FirstFieldVarint = 1 << 3;

    private static readonly string[] Statuses = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

    private readonly byte[] _question = Message(options.Service);

    private readonly List<(string Name, string Value)> _fields =
        [.. HttpProbe.FieldsOf(options), ("content-type", "application/grpc"), ("te", "trailers")];

    /// <inheritdoc/>
    public Task<ProbeResult?> ProbeAsync(Backend backend, CancellationToken cancellationToken) =>
        IProbe.InTimeAsync(token => AskAsync(backend, token), options.Timeout, time, cancellationToken);

    private async Task<ProbeResult> AskAsync(Backend backend, CancellationToken cancellationToken)
    {
        var request = new ProbeRequest
        {
            Backend = backend,
            Address = IProbe.AddressOf(backend, options),
            Trust = trust,
            IsHttp2 = true,
            IsHttp2Only = true,
            Method = "POST",
            Target = "/grpc.health.v1.Health/Check",
            Host = IProbe.HostOf(backend, options),
            Fields = _fields,
            Body = _question,
            BodyLimit = HealthCheckOptions.MaxBody,
        };
        return ResultOf(await send(request, cancellationToken));
    }

    /// <summary>What an answer means.</summary>
    internal ProbeResult ResultOf(ProbeAnswer answer)
    {
        if (answer.Status != StatusCodes.Status200OK)
        {
            return new ProbeResult(false, $"the gRPC health check answered {answer.Status}");
        }
        var of = options.Service.Length > 0 ? $" of '{options.Service}'" : "";
        return answer.Fields.GetValueOrDefault("grpc-status") switch
        {
            "0" => StatusOf(answer.Body.Span) is { } status
                ? new ProbeResult(status == "SERVING", $"gRPC health{of} is {status}")
                : new ProbeResult(false, "the gRPC health check answered no valid message"),
            "5" => new ProbeResult(false, $"gRPC health{of} is not known there (NOT_FOUND)"),
            "12" => new ProbeResult(false, "it has no gRPC health check (UNIMPLEMENTED)"),
            { Length: > 0 and <= 2 } other => new ProbeResult(false, $"the gRPC health check answered grpc-status {other}"),
            _ => new ProbeResult(false, "the gRPC health check answered without a valid grpc-status"),
        };
    }

    // HealthCheckRequest { string service = 1; }
    private static byte[] Message(string service)
    {
        var name = Encoding.UTF8.GetBytes(service);
        byte[] message = name.Length == 0 ? [] : [FirstFieldBytes, .. Varint(name.Length), .. name];
        var prefix = new byte[PrefixSize];
        BinaryPrimitives.WriteInt32BigEndian(prefix.AsSpan(1), message.Length);
        return [.. prefix, .. message];
    }

    private static IEnumerable<byte> Varint(int value)
    {
        for (; value >= 0x80; value >>= 7)
        {
            yield return (byte)(value & 0x7f | 0x80);
        }
        yield return (byte)value;
    }

    // HealthCheckResponse { ServingStatus status = 1; }; null where it is no such message. A field that is 0 is not there.
    private static string? StatusOf(ReadOnlySpan<byte> body)
    {
        if (body.Length < PrefixSize || body[0] != 0 || BinaryPrimitives.ReadInt32BigEndian(body[1..]) != body.Length - PrefixSize)
        {
            return null;
        }
        var status = 0UL;
        for (var message = body[PrefixSize..]; message.Length > 0;)
        {
            if (!TryReadVarint(ref message, out var key) || !TryReadField(ref message, (int)key & 7, out var value))
            {
                return null;
            }
            status = key == FirstFieldVarint ? value : status;
        }
        return status < (ulong)Statuses.Length ? Statuses[status] : $"{status}";
    }

    // Fields that a later version may add are skipped, by their wire type.
    private static bool TryReadField(ref ReadOnlySpan<byte> message, int wireType, out ulong value)
    {
        value = 0;
        var size = wireType switch { 1 => 8UL, 5 => 4UL, _ => 0UL };
        if (wireType is not (0 or 1 or 2 or 5) || wireType == 0 && !TryReadVarint(ref message, out value)
            || wireType == 2 && !TryReadVarint(ref message, out size) || size > (ulong)message.Length)
        {
            return false;
        }
        message = message[(int)size..];
        return true;
    }

    private static bool TryReadVarint(ref ReadOnlySpan<byte> message, out ulong value)
    {
        value = 0;
        for (var i = 0; i < message.Length && i < 10; i++)
        {
            value |= (ulong)(message[i] & 0x7f) << (7 * i);
            if (message[i] < 0x80)
            {
                message = message[(i + 1)..];
                return true;
            }
        }
        return false;
    }
}
