using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Files;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Transforms;
using Microsoft.IdentityModel.JsonWebTokens;
using Microsoft.IdentityModel.Tokens;

namespace LoadBalancer.Http.Guards.Authentication;

/// <summary>Signed tokens (RFC 7519, RFC 8725) in <c>Authorization: Bearer</c> (RFC 6750).</summary>
internal sealed class JwtAuthenticator : IAuthenticator
{
    private const string Challenge = "Bearer";
    private const string InvalidToken = "Bearer error=\"invalid_token\"";

    private static readonly TimeSpan Skew = TimeSpan.FromSeconds(60);

    private readonly JsonWebTokenHandler _handler = new() { MapInboundClaims = false };
    private readonly AuthenticationOptions _options;
    private readonly TimeProvider _time;
    private readonly WatchedFile<JwtKeys>? _file;
    private readonly JwtKeySource? _source;

    /// <summary>Reads the keys, or begins to fetch them.</summary>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="FormatException">The file is not valid.</exception>
    public JwtAuthenticator(AuthenticationOptions options, TimeProvider time, ILogger logger)
    {
        (_options, _time) = (options, time);
        _file = options.KeysFile is { } file ? new WatchedFile<JwtKeys>(file, JwtKeys.Parse, time, logger) : null;
        _source = options.KeysAddress is { } address ? new JwtKeySource(address, time, logger) : null;
    }

    private JwtKeys? Keys => _file?.Content ?? _source?.Keys;

    /// <inheritdoc/>
    public async ValueTask<AuthenticationResult> CheckAsync(HttpContext context, IPAddress? client)
    {
        if (!AuthenticationHeaderValue.TryParse(context.Request.Headers.Authorization, out var value)
            || !value.Scheme.Equals("Bearer", StringComparison.OrdinalIgnoreCase))
        {
            return new(null, ForwardError.Unauthenticated, Challenge);
        }
        if (Keys is null)
        {
            return new(null, ForwardError.AuthenticationUnavailable);
        }
        if (Read(value.Parameter) is not { } token)
        {
            return new(null, ForwardError.Unauthenticated, InvalidToken);
        }
        if (Keys?.Find(token.Kid) is null && _source is not null)
        {
            await _source.RefetchAsync(); // The keys may have been replaced.
        }
        if (Keys?.Find(token.Kid) is not var (key, algorithm) || token.Alg != algorithm || !(await ValidateAsync(token, key, algorithm)))
        {
            return new(null, ForwardError.Unauthenticated, InvalidToken);
        }
        return _options.RequiredClaims.All(required => HasClaim(token, required.Key, required.Value))
            ? new(new ProvedIdentity(token.Subject ?? "", [], []))
            : new(null, ForwardError.Forbidden, "Bearer error=\"insufficient_scope\"");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _file?.Dispose();
        _source?.Dispose();
    }

    private JsonWebToken? Read(string? text)
    {
        try
        {
            // "crit" lists what must be understood (RFC 7515 section 4.1.11), and we understand none of it.
            return _handler.CanReadToken(text) && _handler.ReadJsonWebToken(text) is var token
                && !token.TryGetHeaderValue<object>("crit", out _) ? token : null;
        }
        catch (Exception e) when (e is ArgumentException or JsonException or FormatException)
        {
            return null;
        }
    }

    private async Task<bool> ValidateAsync(JsonWebToken token, JsonWebKey key, string algorithm)
    {
        var result = await _handler.ValidateTokenAsync(token, new TokenValidationParameters
        {
            IssuerSigningKey = key,
            ValidAlgorithms = [algorithm],
            ValidIssuer = _options.Issuer,
            ValidAudience = _options.Audience,
            RequireExpirationTime = true,
            RequireSignedTokens = true,
            LifetimeValidator = (from, to, _, _) => IsNow(from, to),
        });
        return result.IsValid;
    }

    private bool IsNow(DateTime? from, DateTime? to)
    {
        var now = _time.GetUtcNow().UtcDateTime;
        return to is not null && now - to < Skew && (from is null || from - now <= Skew);
    }

    // Each value of a list is a claim of its own here.
    private static bool HasClaim(JsonWebToken token, string name, string value) =>
        token.Claims.Any(claim => claim.Type == name && claim.Value == value);
}
