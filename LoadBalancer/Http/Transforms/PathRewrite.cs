using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Http.Transforms;

/// <summary>A replacement in a path, compiled. The expression cannot backtrack, so no path makes it slow.</summary>
internal sealed class PathRewrite
{
    private readonly Regex _pattern;
    private readonly List<(int Group, ValueTemplate Text)> _parts = []; // group 0: text only

    /// <summary>Compiles valid options.</summary>
    public PathRewrite(RewriteOptions options)
    {
        _pattern = PathPattern.Compile(options.Pattern);
        var text = options.To;
        for (var at = 0; at < text.Length;)
        {
            if (GroupAt(text, at) is { } group)
            {
                _parts.Add((group, ValueTemplate.Parse("")));
                at += 2;
                continue;
            }
            var end = at + 1;
            while (end < text.Length && GroupAt(text, end) is null)
            {
                end++;
            }
            _parts.Add((0, ValueTemplate.Parse(text[at..end])));
            at = end;
        }
    }

    /// <summary>What is wrong with the options, in words for the user, and with which of them; null where nothing is.</summary>
    public static (string Key, string Error)? FindError(RewriteOptions options)
    {
        if (PathPattern.FindError(options.Pattern) is { } error)
        {
            return ("Pattern", error);
        }
        if (ValueTemplate.FindError(options.To, out _) is { } wrong)
        {
            return ("To", wrong);
        }
        var groups = PathPattern.Compile(options.Pattern).GetGroupNumbers().Length - 1;
        var unknown = Enumerable.Range(0, options.To.Length).Select(at => GroupAt(options.To, at) ?? 0).FirstOrDefault(n => n > groups);
        return unknown == 0 ? null : ("To", $"names the group ${unknown}; '{options.Pattern}' has {groups} of them");
    }

    /// <summary>The path for a path as it was sent.</summary>
    public string Apply(string path, RoutedRequest request)
    {
        var match = _pattern.Match(path);
        if (!match.Success)
        {
            return path;
        }
        var result = new StringBuilder(path, 0, match.Index, path.Length + 32);
        foreach (var (group, text) in _parts)
        {
            if (group > 0)
            {
                result.Append(match.Groups[group].ValueSpan);
            }
            else
            {
                result.Append(text.ExpandInPath(request));
            }
        }
        return result.Append(CultureInfo.InvariantCulture, $"{path.AsSpan(match.Index + match.Length)}").ToString();
    }

    private static int? GroupAt(string text, int at) =>
        text[at] == '$' && at + 1 < text.Length && text[at + 1] is >= '1' and <= '9' and var digit ? digit - '0' : null;
}
