using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace LoadBalancer.Diagnostics;

/// <summary>
/// Writes JSON without the serializer, which finds types by reflection: not in a program that was compiled ahead of time. Apostrophes and
/// the like are not escaped, because all who get it know that it is JSON.
/// </summary>
internal static class JsonText
{
    /// <summary>In UTF-8, in one line.</summary>
    public static byte[] Bytes(JsonNode json) => Write(json, isIndented: false);

    /// <summary>As text.</summary>
    /// <param name="json">The value.</param>
    /// <param name="isIndented">Whether it is written in lines for people.</param>
    public static string Of(JsonNode json, bool isIndented = false) => Encoding.UTF8.GetString(Write(json, isIndented));

    private static byte[] Write(JsonNode json, bool isIndented)
    {
        using var bytes = new MemoryStream();
        using (var writer = new Utf8JsonWriter(
            bytes, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, Indented = isIndented }))
        {
            json.WriteTo(writer);
        }
        return bytes.ToArray();
    }
}
