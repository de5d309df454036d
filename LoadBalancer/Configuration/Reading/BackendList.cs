using System.Text;
using System.Text.Json;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;
using LoadBalancer.Pools;

namespace LoadBalancer.Configuration.Reading;

/// <summary>
/// Reads the file of <see cref="PoolOptions.BackendsFile"/>: a JSON list of <c>{ "name", "address", "weight" }</c>. Other fields are
/// ignored, so that the answer of <c>GET /api/pools/NAME/backends</c> is such a file.
/// </summary>
internal static class BackendList
{
    private static readonly JsonReaderOptions Leniency = new() { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true };

    /// <summary>Opens a reader for the file of a pool.</summary>
    /// <param name="pool">Its options: no backend of the file may have a name of theirs, or be of another kind.</param>
    /// <returns>Reads the content; throws a <see cref="FormatException"/> that says what is wrong, and in which line.</returns>
    public static Func<byte[], IReadOnlyDictionary<string, BackendOptions>> ReaderFor(PoolOptions pool)
    {
        var isTcp = KindOf(pool.Backends.Values);
        return bytes =>
        {
            var backends = Read(bytes, pool.Backends.ContainsKey, isTcp);
            isTcp ??= KindOf(backends.Values);
            return backends;
        };
    }

    /// <summary>What is wrong with the file of a pool; null where nothing is, or it has none.</summary>
    /// <param name="pool">The options of the pool.</param>
    /// <param name="backends">What is in the file.</param>
    public static string? FindError(PoolOptions pool, out IReadOnlyDictionary<string, BackendOptions> backends)
    {
        backends = new Dictionary<string, BackendOptions>();
        if (pool.BackendsFile is not { } file)
        {
            return null;
        }
        try
        {
            backends = ReaderFor(pool)(File.ReadAllBytes(file));
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            var isMissing = e is FileNotFoundException or DirectoryNotFoundException;
            return $"'{file}' cannot be read: {(isMissing ? "there is no such file" : e.Message)}";
        }
        catch (FormatException e)
        {
            return $"'{file}' cannot be used: {e.Message}";
        }
    }

    private static Dictionary<string, BackendOptions> Read(byte[] bytes, Func<string, bool> isTaken, bool? isTcp)
    {
        var backends = new Dictionary<string, BackendOptions>(StringComparer.OrdinalIgnoreCase);
        var json = bytes.AsSpan().StartsWith(Encoding.UTF8.Preamble) ? bytes.AsSpan(Encoding.UTF8.Preamble.Length) : bytes;
        var reader = new Utf8JsonReader(json, Leniency);
        try
        {
            if (!reader.Read() || reader.TokenType != JsonTokenType.StartArray)
            {
                throw Error(json, reader, "expected a list: [ { \"name\": …, \"address\": …, \"weight\": … } ]");
            }
            while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
            {
                var start = reader;
                var (name, backend) = ReadBackend(json, ref reader);
                isTcp ??= KindOf([backend]);
                var error = isTaken(name) ? $"backend '{name}' is in the pool's Backends too; expected another name"
                    : KindOf([backend]) is { } kind && kind != isTcp
                        ? $"'{backend.Address}' is of another kind than the pool's other backends"
                    : !backends.TryAdd(name, backend) ? $"backend '{name}' is there twice"
                    : backends.Count > InFlightCounts.MaxSlots
                        ? $"there are too many backends; expected {InFlightCounts.MaxSlots} at the most"
                    : null;
                if (error is not null)
                {
                    throw Error(json, start, error);
                }
            }
            reader.Read(); // Nothing may follow.
            return backends;
        }
        catch (JsonException e)
        {
            throw new FormatException($"line {e.LineNumber + 1}: it is not valid JSON");
        }
        catch (InvalidOperationException) // The reader finds that out where a text is taken.
        {
            throw Error(json, reader, "a text is not valid UTF-8, or has half a surrogate pair");
        }
    }

    private static (string Name, BackendOptions Backend) ReadBackend(ReadOnlySpan<byte> json, ref Utf8JsonReader reader)
    {
        if (reader.TokenType != JsonTokenType.StartObject)
        {
            throw Error(json, reader, "expected { \"name\": …, \"address\": …, \"weight\": … }");
        }
        var start = reader;
        string? name = null;
        EndpointAddress? address = null;
        var weight = 1;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndObject)
        {
            var key = reader.GetString()!;
            reader.Read();
            switch (key.ToLowerInvariant())
            {
                case "name":
                    name = reader.TokenType == JsonTokenType.String ? reader.GetString()! : "";
                    if (name.Length == 0 || name.Any(c => c is <= ' ' or '\x7f'))
                    {
                        throw Error(json, reader, "the name is not a text, is empty, or has blanks in it");
                    }
                    break;
                case "address":
                    address = ReadAddress(json, reader);
                    break;
                case "weight":
                    if (reader.TokenType != JsonTokenType.Number || !reader.TryGetInt32(out weight) || weight is < 0 or > Backend.MaxWeight)
                    {
                        throw Error(json, reader, $"the weight is not a whole number from 0 to {Backend.MaxWeight}");
                    }
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }
        return name is null ? throw Error(json, start, "the name is missing")
            : address is null ? throw Error(json, start, $"the address of backend '{name}' is missing")
            : (name, new BackendOptions { Address = address, Weight = weight });
    }

    private static EndpointAddress ReadAddress(ReadOnlySpan<byte> json, Utf8JsonReader reader)
    {
        var error = "the address is not a text";
        if (reader.TokenType != JsonTokenType.String || !EndpointAddress.TryParse(reader.GetString()!, out var address, out error))
        {
            throw Error(json, reader, error);
        }
        return address.IsUnix || address.Scheme != "udp" && address.Host != "*" && (address.IsService || address.Port > 0) ? address
            : throw Error(json, reader, $"'{address}' is not where a backend can be; expected for example http://127.0.0.1:3000");
    }

    // Whether connections are relayed to them; null where that is not known: Unix sockets are of both kinds.
    private static bool? KindOf(IEnumerable<BackendOptions> backends) =>
        backends.FirstOrDefault(backend => backend.Address is { IsUnix: false })?.Address.IsTcp;

    private static FormatException Error(ReadOnlySpan<byte> json, Utf8JsonReader reader, string error) =>
        new($"line {json[..(int)reader.TokenStartIndex].Count((byte)'\n') + 1}: {error}");
}
