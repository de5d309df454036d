using System.Text.RegularExpressions;

namespace LoadBalancer.Http.Transforms;

/// <summary>Regular expressions of the configuration for paths.</summary>
internal static class PathPattern
{
    // The time for a match grows with the product of both lengths, and a path has at most 8 KiB.
    private const int MaxLength = 1000;

    private const RegexOptions Options = RegexOptions.NonBacktracking | RegexOptions.CultureInvariant;

    /// <summary>Compiles a valid expression.</summary>
    public static Regex Compile(string pattern) => new(pattern, Options);

    /// <summary>What is wrong with an expression, in words for the user; null where nothing is.</summary>
    public static string? FindError(string pattern)
    {
        if (pattern.Length > MaxLength)
        {
            return $"has {pattern.Length} characters; expected at most {MaxLength}";
        }
        try
        {
            _ = Compile(pattern);
            return null;
        }
        catch (NotSupportedException)
        {
            return $"'{pattern}' would need backtracking, which can take very long; expected no look-around and no backreference";
        }
        catch (ArgumentException e)
        {
            return $"'{pattern}' is not a regular expression: {e.Message}";
        }
    }
}
