namespace LoadBalancer.Tests.Support;

/// <summary>The head of a request as a backend got it over HTTP/2.</summary>
/// <param name="Stream">Its stream.</param>
/// <param name="IsEnd">Whether no body follows.</param>
/// <param name="Fields">All its fields, in order, pseudo-fields too.</param>
internal sealed record Http2Request(int Stream, bool IsEnd, IReadOnlyList<(string Name, string Value)> Fields)
{
    /// <summary>The values of a field, joined with <c>|</c>; null where there is none.</summary>
    public string? this[string name] =>
        Fields.Any(field => field.Name == name)
            ? string.Join("|", Fields.Where(field => field.Name == name).Select(field => field.Value)) : null;
}
