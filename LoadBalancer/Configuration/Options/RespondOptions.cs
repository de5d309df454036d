namespace LoadBalancer.Configuration.Options;

/// <summary>A response of our own.</summary>
public sealed record RespondOptions
{
    /// <summary>The status, 200 to 599. Default 200.</summary>
    public int Status { get; init; } = StatusCodes.Status200OK;

    /// <summary>The body, with values such as <c>{path}</c>. Default: no body.</summary>
    public string? Body { get; init; }

    /// <summary>
    /// Its type. Default <c>text/plain; charset=utf-8</c>; that of a <see cref="File"/> comes from the ending of its name.
    /// </summary>
    public string? ContentType { get; init; }

    /// <summary>A file that is the body as it is; it is read again when it has changed. Default null.</summary>
    [BesideConfiguration]
    public string? File { get; init; }
}
