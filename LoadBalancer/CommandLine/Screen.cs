using System.Globalization;
using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.CommandLine;

/// <summary>Where the commands print: in the width of the terminal, with colours only on one.</summary>
internal static class Screen
{
    // NO_COLOR: https://no-color.org
    private static readonly bool HasColor =
        !Console.IsOutputRedirected && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("NO_COLOR"));

    /// <summary>Prints a table.</summary>
    public static void Print(Table table) => table.Print(Console.Out, Width(), HasColor);

    /// <summary>Prints a line of what is wrong.</summary>
    public static void PrintBad(string line) => Console.WriteLine(HasColor ? $"\e[31m{line}\e[0m" : line);

    /// <summary>Prints JSON in one line.</summary>
    public static void Print(JsonNode json) => Console.WriteLine(JsonText.Of(json));

    /// <summary>Text of the node for a terminal: control characters, which could steer the terminal, become question marks.</summary>
    public static string Text(JsonNode? value) =>
        value is null ? "" : string.Concat(value.ToString().Select(c => char.IsControl(c) ? '?' : c));

    /// <summary>Prints text of several lines; other control characters become question marks.</summary>
    public static void PrintText(JsonNode? value)
    {
        var text = string.Concat($"{value}".Select(c => char.IsControl(c) && c is not ('\n' or '\r' or '\t') ? '?' : c));
        Console.Write(text.EndsWith('\n') ? text : text + Environment.NewLine);
    }

    /// <summary>A number with its unit; a dash where there is none.</summary>
    public static string Number(JsonNode? value, string format = "0", string unit = "") =>
        value is JsonValue number && number.TryGetValue<double>(out var known)
            ? known.ToString(format, CultureInfo.InvariantCulture) + unit : "-";

    private static int? Width()
    {
        try
        {
            return Console.IsOutputRedirected || Console.WindowWidth <= 0 ? null : Console.WindowWidth;
        }
        catch (IOException)
        {
            return null; // There is no terminal.
        }
    }
}
