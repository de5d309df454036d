using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace TaskServer;

/// <summary>A task, as clients send it and as the file contains it.</summary>
internal sealed record TaskItem
{
    /// <summary>How all JSON is read and written here.</summary>
    public static readonly JsonSerializerOptions Json = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        RespectNullableAnnotations = true,
        AllowDuplicateProperties = false,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, // never part of an HTML page; "mañana" stays readable
    };

    /// <summary>Set by the server; a value from the client is ignored.</summary>
    public long Id { get; init; }

    /// <summary>What is to be done.</summary>
    public required string Titulo { get; init; }

    /// <summary>All other members that the client has sent; stored unchanged.</summary>
    [JsonExtensionData]
    public Dictionary<string, JsonElement>? More { get; init; }

    /// <summary>Reads a task that a client sends.</summary>
    /// <exception cref="BadHttpRequestException">The body is not a task.</exception>
    public static async Task<TaskItem> ReadAsync(Stream body, CancellationToken cancellationToken)
    {
        try
        {
            var task = await JsonSerializer.DeserializeAsync<TaskItem>(body, Json, cancellationToken);
            // Checks that it can be written: text that is not Unicode cannot, and in the file it is one level deeper.
            JsonSerializer.SerializeToUtf8Bytes(new[] { task }, Json);
            if (!string.IsNullOrWhiteSpace(task?.Titulo))
            {
                return task;
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or ArgumentException)
        {
        }
        throw new BadHttpRequestException("expected a JSON object with a text \"titulo\"");
    }
}
