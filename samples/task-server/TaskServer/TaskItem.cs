using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace TaskServer;

/// <summary>A task, as clients send it and as the file keeps it.</summary>
internal sealed record TaskItem
{
    /// <summary>How all JSON is read and written here.</summary>
    public static readonly JsonSerializerOptions Json = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        RespectNullableAnnotations = true,
        AllowDuplicateProperties = false,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, // it is never part of a page, and "mañana" stays legible
    };

    /// <summary>Given by the server; what a client says here does not count.</summary>
    public long Id { get; init; }

    /// <summary>What is to be done.</summary>
    public required string Titulo { get; init; }

    /// <summary>Whatever else the client wrote into it, kept as it is.</summary>
    [JsonExtensionData]
    public Dictionary<string, JsonElement>? More { get; init; }

    /// <summary>Reads a task that a client sends.</summary>
    /// <exception cref="BadHttpRequestException">It is none.</exception>
    public static async Task<TaskItem> ReadAsync(Stream body, CancellationToken cancellationToken)
    {
        try
        {
            var task = await JsonSerializer.DeserializeAsync<TaskItem>(body, Json, cancellationToken);
            // As it will be in the file: text that is no Unicode may be read but not written, and there it is one level deeper.
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
