using System.Globalization;
using LoadBalancer.Http.Messages;
using LoadBalancer.Net;

namespace LoadBalancer.Http.Transforms;

/// <summary>A text with values of the request in it: <c>https://{host}{path}{query}</c>. Parsed once.</summary>
internal sealed class ValueTemplate
{
    private const string HeaderPrefix = "header:";

    // {query} begins with a question mark, or is empty.
    private static readonly Dictionary<string, Func<RoutedRequest, string?, string>> Values = new(StringComparer.Ordinal)
    {
        ["client"] = (request, _) => UnixPeers.Text(request.Client),
        ["host"] = (request, _) => request.Context.Request.Host.Host,
        ["port"] = Port,
        ["scheme"] = (request, _) => request.IsHttps ? "https" : "http",
        ["method"] = (request, _) => request.Context.Request.Method,
        ["path"] = (request, _) => request.Path.ToString(),
        ["query"] = (request, _) => request.Query.ToString(),
        ["requestId"] = (request, _) => request.Context.Features.Get<RequestName>()?.Value ?? "",
        ["user"] = (request, _) => request.Identity?.User ?? "",
        ["route"] = (request, _) => request.Rules.Name,
        ["pool"] = (request, _) => request.Pool ?? "",
        ["backend"] = (_, backend) => backend ?? "",
    };

    private readonly IReadOnlyList<Part> _parts;

    private ValueTemplate(IReadOnlyList<Part> parts) => _parts = parts;

    /// <summary>The text, where there is no value in it.</summary>
    public string? Constant => _parts switch
    {
        [] => "",
        [{ Value: null } only] => only.Text,
        _ => null,
    };

    /// <summary>Parses a template that is known to be valid.</summary>
    public static ValueTemplate Parse(string text) => FindError(text, out var template) is { } error
        ? throw new FormatException(error)
        : template;

    /// <summary>What is wrong with a template, in words for the user; null where nothing is.</summary>
    public static string? FindError(string text, out ValueTemplate template)
    {
        var parts = new List<Part>();
        template = new ValueTemplate(parts);
        for (var at = 0; at < text.Length;)
        {
            var open = text.IndexOf('{', at);
            if (open != at)
            {
                parts.Add(new Part(text[at..(open < 0 ? text.Length : open)], null));
                at = open < 0 ? text.Length : open;
                continue;
            }
            var close = text.IndexOf('}', open);
            if (close < 0)
            {
                return "has a { without its }";
            }
            var name = text[(open + 1)..close];
            if (Find(name) is not { } value)
            {
                var known = string.Join(" ", Values.Keys.Select(key => $"{{{key}}}"));
                return $"has the unknown value {{{name}}}; expected {known} or {{header:NAME}}";
            }
            parts.Add(new Part("", value));
            at = close + 1;
        }
        return null;
    }

    /// <summary>The text for a request.</summary>
    /// <param name="request">The request.</param>
    /// <param name="backend">The name of the backend that gets it, or has answered it; null where there is none.</param>
    public string Expand(RoutedRequest request, string? backend = null) =>
        Constant ?? (_parts is [var only] ? only.For(request, backend) : string.Concat(_parts.Select(part => part.For(request, backend))));

    /// <summary>The same for the path of a request: in each value, what could end a segment is percent-encoded.</summary>
    public string ExpandInPath(RoutedRequest request) => string.Concat(
        _parts.Select(part => part.Value is null ? part.Text : Uri.EscapeDataString(part.For(request, null))));

    private static Func<RoutedRequest, string?, string>? Find(string name)
    {
        if (!name.StartsWith(HeaderPrefix, StringComparison.Ordinal))
        {
            return Values.GetValueOrDefault(name);
        }
        var field = name[HeaderPrefix.Length..];
        return RequestRules.IsFieldName(field) ? (request, _) => request.Context.Request.Headers[field].ToString() : null;
    }

    private static string Port(RoutedRequest request, string? backend) =>
        (request.Context.Request.Host.Port ?? request.Context.Connection.LocalPort).ToString(CultureInfo.InvariantCulture);

    private sealed record Part(string Text, Func<RoutedRequest, string?, string>? Value)
    {
        public string For(RoutedRequest request, string? backend) => Value?.Invoke(request, backend) ?? Text;
    }
}
