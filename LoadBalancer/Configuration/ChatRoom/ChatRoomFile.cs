using System.Net;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Configuration.Reading;
using LoadBalancer.Net;

namespace LoadBalancer.Configuration.ChatRoom;

/// <summary>
/// The configuration file of the ChatRoom system: few keys, two modes. It is translated to the settings of an ordinary file, so that
/// everything else is the same: overrides, checks, reloads. Errors name the path in the file that the user has.
/// <code>
///   fl    clients connect                 → pool logic
///   ld    logic servers connect           → pool data
///         data servers connect            → pool logic
/// </code>
/// </summary>
internal sealed class ChatRoomFile
{
    private const string Mode = "mode";
    private const string Address = "ip:port, for example 0.0.0.0:3001";
    private const string Server = "\"<tcp ip:port> <udp ip:port>\"";

    // The system's own spelling, and the right one.
    private const string DataHeartbeats = "data_servers_hearbeat_udp_addr";
    private const string DataHeartbeatsSpeltRight = "data_servers_heartbeat_udp_addr";

    private static readonly Dictionary<string, Part[]> Modes = new(StringComparer.OrdinalIgnoreCase)
    {
        ["fl"] =
        [
            new("clients", "client_tcp_listening_addr", "logic", "logic_heartbeat_udp_addr", "logic_servers", "No available backend"),
        ],
        ["ld"] =
        [
            new("logic", "logic_servers_tcp_listening_addr", "data", DataHeartbeats, "data_servers", "No backend available"),
            new("data", "data_servers_tcp_listening_addr", "logic", "logic_servers_heartbeat_udp_addr", "logic_servers",
                "No frontend available"),
        ],
    };

    private static readonly string[] Keys = [.. Modes.Values.SelectMany(KeysOf).Append(DataHeartbeatsSpeltRight).Append(Mode).Distinct()];

    private readonly Dictionary<string, string?> _file;
    private readonly List<ConfigurationError> _errors = [];
    private readonly Dictionary<string, string> _origins = new(StringComparer.OrdinalIgnoreCase); // path of a setting → path in the file

    private ChatRoomFile(Dictionary<string, string?> file) => _file = file;

    /// <summary>The settings of an ordinary file with the same meaning.</summary>
    public Dictionary<string, string?> Settings { get; } = new(StringComparer.OrdinalIgnoreCase);

    /// <summary>Translates a file, if it is one of this kind: at its root it has some of these keys, and no <c>LoadBalancer</c>.</summary>
    /// <param name="file">Its keys and values.</param>
    /// <returns>Its translation, with all that is wrong with it; null where it is an ordinary one.</returns>
    public static ChatRoomFile? TryRead(Dictionary<string, string?> file)
    {
        if (!file.ContainsKey(Mode) && (file.ContainsKey(LoadBalancerOptions.SectionName) || !Keys.Any(file.ContainsKey)))
        {
            return null;
        }
        var chatRoom = new ChatRoomFile(file);
        chatRoom.Translate();
        return chatRoom;
    }

    /// <summary>All that is wrong: with the file, and with the settings that it became, each by its path in the file.</summary>
    /// <param name="ofSettings">What is wrong with the settings.</param>
    public List<ConfigurationError> Errors(IEnumerable<ConfigurationError> ofSettings)
    {
        const string Listeners = LoadBalancerOptions.SectionName + ":Listeners";
        var own = _errors.Count;
        return
        [
            .. _errors,
            .. from error in ofSettings
               let path = _origins.GetValueOrDefault(error.Path)
               // What was not understood is missing among the settings, and would be reported as missing too.
               where path is null
                   ? own == 0 || !error.Path.StartsWith(Listeners, StringComparison.OrdinalIgnoreCase)
                   : !_errors.Exists(known => IsBelow(known.Path, path) || IsBelow(path, known.Path))
               select new ConfigurationError(path ?? error.Path, error.Message),
        ];
    }

    // Or the same.
    private static bool IsBelow(string path, string root) => $"{path}:".StartsWith($"{root}:", StringComparison.OrdinalIgnoreCase);

    private static bool IsKey(string key, IEnumerable<string> keys) => keys.Contains(key, StringComparer.OrdinalIgnoreCase);

    private void Translate()
    {
        foreach (var key in _file.Keys.Where(key => !key.Contains(ConfigurationPath.KeyDelimiter, StringComparison.Ordinal)))
        {
            if (!IsKey(key, Keys))
            {
                _errors.Add(new(key, NearestName.UnknownKey(key, Keys)));
            }
        }
        var mode = _file.GetValueOrDefault(Mode);
        if (mode is null || !Modes.TryGetValue(mode, out var parts))
        {
            _errors.Add(new(Mode, (mode is null ? "is missing" : $"'{mode}' is not valid") + "; expected fl or ld"));
            return;
        }
        var ours = KeysOf(parts).Append(Mode).ToList();
        var other = Modes.Keys.First(name => !name.Equals(mode, StringComparison.OrdinalIgnoreCase));
        foreach (var key in _file.Keys.Where(key => IsKey(key, Keys)))
        {
            if (!IsKey(key == DataHeartbeatsSpeltRight ? DataHeartbeats : key, ours))
            {
                _errors.Add(new(key, $"is for mode {other}; this one is {mode}"));
            }
        }
        if (ours.Contains(DataHeartbeats) && _file.ContainsKey(DataHeartbeats) && _file.ContainsKey(DataHeartbeatsSpeltRight))
        {
            _errors.Add(new(DataHeartbeatsSpeltRight, $"is there as {DataHeartbeats} too; expected one of them"));
        }
        foreach (var part in parts)
        {
            Translate(part);
        }
    }

    private void Translate(Part part)
    {
        var (listener, pool) = ($"Listeners:{part.Listener}", $"Pools:{part.Pool}");
        Set(listener, JsonFile.ObjectMark, part.Listening);
        Set($"{listener}:Protocol", nameof(ListenerProtocol.Tcp), part.Listening);
        Set($"{listener}:Pool", part.Pool, part.Listening);
        var message = $$"""{"response_code":503,"response_text":"{{part.Unavailable}}"}""";
        Set($"{listener}:UnavailableMessage", message, part.Listening);
        SetAddress($"{listener}:Address", "tcp", part.Listening);
        var isSpeltRight = part.Heartbeats == DataHeartbeats && _file.ContainsKey(DataHeartbeatsSpeltRight);
        var heartbeats = isSpeltRight ? DataHeartbeatsSpeltRight : part.Heartbeats;
        Set(pool, JsonFile.ObjectMark, part.Servers);
        Set($"{pool}:Heartbeat", JsonFile.ObjectMark, heartbeats);
        SetAddress($"{pool}:Heartbeat:Address", "udp", heartbeats);

        Set($"{pool}:Backends", JsonFile.ObjectMark, part.Servers);
        var servers = _file.Where(entry => IsItemOf(part.Servers, entry.Key)).ToList();
        if (servers.Count == 0 || _file[part.Servers] != JsonFile.ListMark)
        {
            var fault = _file.ContainsKey(part.Servers) ? "is no list of servers" : "is missing";
            _errors.Add(new(part.Servers, $"{fault}; expected [ {Server}, … ]"));
            return;
        }
        foreach (var (i, (path, text)) in servers.Index())
        {
            var backend = $"{pool}:Backends:{part.Pool}{i + 1}";
            var words = (text ?? "").Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
            if (words.Length == 2 && TryParse("tcp", words[0], out var tcp) && TryParse("udp", words[1], out var udp)
                && tcp.Port > 0 && udp.Port > 0)
            {
                Set(backend, JsonFile.ObjectMark, path);
                Set($"{backend}:Address", tcp.ToString(), path);
                Set($"{backend}:HeartbeatAddress", udp.ToString(), path);
            }
            else
            {
                _errors.Add(new(path, $"'{text}' is not a server; expected {Server}"));
            }
        }
    }

    private void SetAddress(string setting, string scheme, string key)
    {
        _origins[ConfigurationPath.Combine(LoadBalancerOptions.SectionName, setting)] = key; // Also where it is missing.
        if (_file.GetValueOrDefault(key) is not { } text)
        {
            _errors.Add(new(key, $"is missing; expected {Address}"));
        }
        else if (!TryParse(scheme, text.Trim(), out var address))
        {
            _errors.Add(new(key, $"'{text}' is not an address; expected {Address}"));
        }
        else
        {
            Set(setting, address.ToString(), key);
        }
    }

    private void Set(string setting, string value, string origin)
    {
        var path = ConfigurationPath.Combine(LoadBalancerOptions.SectionName, setting);
        (Settings[path], _origins[path]) = (value, origin);
    }

    private static bool IsItemOf(string list, string key) =>
        key.StartsWith($"{list}:", StringComparison.OrdinalIgnoreCase) && int.TryParse(key.AsSpan(list.Length + 1), out _);

    // 127.1 is an address to some programs, and a name to others.
    private static bool TryParse(string scheme, string text, out EndpointAddress address) =>
        EndpointAddress.TryParse($"{scheme}://{text}", out address!, out _) && address.Port != EndpointAddress.NoPort
        && Uri.CheckHostName(address.Host) is UriHostNameType.IPv4 or UriHostNameType.IPv6 && IPAddress.TryParse(address.Host, out _);

    private static IEnumerable<string> KeysOf(Part[] parts) =>
        parts.SelectMany(part => new[] { part.Listening, part.Heartbeats, part.Servers });

    /// <summary>A listener with the pool that it leads to, and the keys that they have in the file.</summary>
    private sealed record Part(string Listener, string Listening, string Pool, string Heartbeats, string Servers, string Unavailable);
}
