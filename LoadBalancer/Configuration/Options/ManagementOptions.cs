using LoadBalancer.Net;

namespace LoadBalancer.Configuration.Options;

/// <summary>The management listener.</summary>
public sealed record ManagementOptions : ITlsOptions
{
    /// <summary>How long a token must be at least on an address that other machines can reach, in characters.</summary>
    public const int ShortestReachableToken = 16;

    /// <summary>The user's name with <see cref="Token"/> or <see cref="TokenFile"/>.</summary>
    public const string NameOfToken = "token";

    /// <summary>
    /// Where it listens: <c>http://127.0.0.1:8081</c>, <c>https://</c> with certificates, or <c>unix:/run/lb-admin.sock</c>. Required.
    /// </summary>
    public EndpointAddress Address { get; init; } = null!;

    /// <summary>
    /// Who may connect to a Unix socket: the mode of its file in octal digits. Default 0600: the user of this process. Not on Windows.
    /// </summary>
    public string? SocketMode { get; init; }

    /// <summary>
    /// The token that every request must carry, as <c>Authorization: Bearer</c>; this, <see cref="TokenFile"/> or <see cref="Tokens"/> is
    /// required on an address that other machines can reach. Its user is an operator. Default null: none.
    /// </summary>
    [Secret]
    public string? Token { get; init; }

    /// <summary>
    /// A file with the token, and nothing else, instead of <see cref="Token"/>. A changed file is read again within seconds. Default null:
    /// none.
    /// </summary>
    public string? TokenFile { get; init; }

    /// <summary>Further tokens by the name of their user, each with a role. Default: none.</summary>
    public IReadOnlyDictionary<string, ManagementTokenOptions> Tokens { get; init; } = new Dictionary<string, ManagementTokenOptions>();

    /// <summary>
    /// A file to which each change by an operator is appended, a JSON object on each line; what is in it is remembered at the next start.
    /// Beyond 1 MB it becomes <c>FILE.1</c>. Relative to the configuration file. Default null: changes are remembered in memory only.
    /// </summary>
    [BesideConfiguration]
    public string? AuditFile { get; init; }

    /// <summary>The certificates of an https address: <see cref="ITlsOptions.Certificates"/>.</summary>
    public IReadOnlyList<CertificateOptions> Certificates { get; init; } = [];

    /// <inheritdoc/>
    public TlsVersion MinProtocol { get; init; } = TlsVersion.Tls12;

    /// <inheritdoc/>
    public IReadOnlyList<string> Ciphers { get; init; } = [];

    /// <summary>Whether only this machine can reach it.</summary>
    internal bool IsLoopback => Address.IsLoopback;

    /// <summary>Whether all settings are the same; lists are when their items are.</summary>
    public bool Equals(ManagementOptions? other) =>
        other is not null && Address == other.Address && SocketMode == other.SocketMode
        && Token == other.Token && TokenFile == other.TokenFile && AuditFile == other.AuditFile
        && Tokens.Count == other.Tokens.Count && Tokens.All(entry => entry.Value == other.Tokens.GetValueOrDefault(entry.Key))
        && Certificates.SequenceEqual(other.Certificates) && MinProtocol == other.MinProtocol && Ciphers.SequenceEqual(other.Ciphers);

    /// <inheritdoc/>
    public override int GetHashCode() =>
        HashCode.Combine(Address, Token, TokenFile, AuditFile, Tokens.Count, Certificates.Count, MinProtocol, Ciphers.Count);

    /// <inheritdoc/>
    public override string ToString() => $"{Address}"; // never the token

    /// <summary>What is wrong with a token for this address, and what was expected; null for nothing.</summary>
    internal string? FindTokenError(string token) =>
        token.Length == 0 || token.AsSpan().ContainsAnyExceptInRange('!', '~')
            ? "cannot be sent in a header field; expected letters, digits and signs of ASCII, without blanks"
        : Address is not null && !IsLoopback && token.Length < ShortestReachableToken
            ? $"has {token.Length} characters, and {Address} can be reached from other machines, which could guess it; "
                + $"expected {ShortestReachableToken} or more, for example of openssl rand -hex 16"
        : null;
}
