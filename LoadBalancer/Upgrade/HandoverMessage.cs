using System.Text.Json;
using System.Text.Json.Serialization;

namespace LoadBalancer.Upgrade;

/// <summary>
/// One of the messages between a process and the one that replaces it. Both may be of another version of the program: what is not known
/// is ignored, and what is missing has its default.
/// </summary>
internal sealed class HandoverMessage
{
    /// <summary>From the new process: its configuration is valid, and it wants sockets and state.</summary>
    public const string Wants = "wants";

    /// <summary>From the old one, after the sockets: what they are, and the state.</summary>
    public const string Offer = "offer";

    /// <summary>From the new one: it serves.</summary>
    public const string Ready = "ready";

    /// <summary>From the new one: it cannot start, because of <see cref="Errors"/>.</summary>
    public const string Failed = "failed";

    /// <summary>From the old one: it accepts nothing more.</summary>
    public const string Left = "left";

    /// <summary>The version of this description. A higher one is for a state that this program would misunderstand.</summary>
    public const int CurrentVersion = 1;

    /// <summary>Its version.</summary>
    public int Version { get; set; } = CurrentVersion;

    /// <summary>What it says: one of the constants.</summary>
    public string Kind { get; set; } = "";

    /// <summary>Why the new process cannot start.</summary>
    public List<string>? Errors { get; set; }

    /// <summary>The sockets, in the order in which they were sent.</summary>
    public List<HandedSocket>? Sockets { get; set; }

    /// <summary>What the old process knows.</summary>
    public HandedState? State { get; set; }

    /// <summary>As JSON.</summary>
    public byte[] ToBytes() => JsonSerializer.SerializeToUtf8Bytes(this, HandoverJson.Default.HandoverMessage);

    /// <summary>Reads one; null where it is none.</summary>
    public static HandoverMessage? Read(ReadOnlySpan<byte> json)
    {
        try
        {
            return JsonSerializer.Deserialize(json, HandoverJson.Default.HandoverMessage);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}

/// <summary>A socket that goes along.</summary>
internal sealed class HandedSocket
{
    /// <summary><c>Stream</c> for TCP, <c>Dgram</c> for UDP; for readers of the message, the socket itself knows.</summary>
    public string Type { get; set; } = "";

    /// <summary>Where it is bound.</summary>
    public string Address { get; set; } = "";
}

/// <summary>Reads and writes the messages without reflection.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(HandoverMessage))]
internal sealed partial class HandoverJson : JsonSerializerContext;
