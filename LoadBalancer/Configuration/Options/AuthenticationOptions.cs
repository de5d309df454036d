namespace LoadBalancer.Configuration.Options;

/// <summary>How clients prove who they are.</summary>
public enum AuthenticationType
{
    /// <summary>A name and a password (RFC 7617), checked against a file.</summary>
    Basic,

    /// <summary>A signed token (RFC 7519) in <c>Authorization: Bearer</c>, checked against keys.</summary>
    Jwt,

    /// <summary>Another server decides.</summary>
    Forward,
}

/// <summary>One way to authenticate clients. Each setting is for one <see cref="Type"/>, which its description begins with.</summary>
public sealed record AuthenticationOptions
{
    /// <summary>The way. Default Basic.</summary>
    public AuthenticationType Type { get; init; }

    /// <summary>Basic: a file of lines <c>name:hash</c> with bcrypt hashes, as <c>htpasswd -B</c> writes them. Required.</summary>
    [BesideConfiguration]
    public string? UsersFile { get; init; }

    /// <summary>Basic: what browsers show when they ask for the password. Null (the default): the name of this section.</summary>
    public string? Realm { get; init; }

    /// <summary>Basic: whether the backend gets the client's <c>Authorization</c>. Default false.</summary>
    public bool Forward { get; init; }

    /// <summary>Jwt: a file with a JSON Web Key Set (RFC 7517) of RSA or EC keys. This or <see cref="KeysAddress"/> is required.</summary>
    [BesideConfiguration]
    public string? KeysFile { get; init; }

    /// <summary>Jwt: where such a set is fetched, for example <c>https://id.example.com/jwks.json</c>.</summary>
    [Secret(IsQuery = true)]
    public string? KeysAddress { get; init; }

    /// <summary>Jwt: the <c>iss</c> that a token must have. Required.</summary>
    public string? Issuer { get; init; }

    /// <summary>Jwt: an <c>aud</c> that a token must have. Required.</summary>
    public string? Audience { get; init; }

    /// <summary>Jwt: claims that a token must have, equal or in a list; without one the answer is 403.</summary>
    public IReadOnlyDictionary<string, string> RequiredClaims { get; init; } = new Dictionary<string, string>();

    /// <summary>Forward: the address that is asked with GET for each request. 2xx lets the request through. Required.</summary>
    [Secret(IsQuery = true)]
    public string? Address { get; init; }

    /// <summary>Forward: fields of that answer that the backend gets.</summary>
    public IReadOnlyList<string> CopyHeaders { get; init; } = [];

    /// <summary>Forward: how long the answer may take; then the client is answered 503. Default 5 s.</summary>
    public TimeSpan Timeout { get; init; } = TimeSpan.FromSeconds(5);
}
