using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Guards.Authentication;
using LoadBalancer.Http.Guards.Rates;
using LoadBalancer.Http.Messages;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Checks the guards that listeners and routes name: rate limits and ways to authenticate.</summary>
internal static class GuardValidator
{
    private const int MostKeys = 10_000_000; // 24 bytes each

    // What each way needs, then what else it can have.
    private static readonly Dictionary<AuthenticationType, string[]> Settings = new()
    {
        [AuthenticationType.Basic] = ["UsersFile", "Realm", "Forward"],
        [AuthenticationType.Jwt] = ["Issuer", "Audience", "KeysFile", "KeysAddress", "RequiredClaims"],
        [AuthenticationType.Forward] = ["Address", "CopyHeaders", "Timeout"],
    };

    /// <summary>Requires all that must hold for a rate limit.</summary>
    public static void Check(RateLimitOptions limit, SectionValidator section)
    {
        section.Require(RateKey.IsValid(limit.Key) && RateKey.HeaderOf(limit.Key) is var field && (field is null
            || RequestRules.IsFieldName(field)),
            "Key", $"'{limit.Key}' is not valid; expected Client, Header:NAME, Host, User or All");
        section.Require(limit.Permits is not null || limit.MaxInFlight is not null, "Permits",
            "is missing, and so is MaxInFlight; expected one of the two");
        section.RequireAtLeast(1, limit.Permits, "Permits", orElse: "null for no limit of the rate");
        section.RequireDuration(limit.Window, "Window");
        section.RequireAtLeast(1, limit.Burst, "Burst", orElse: "null for as many as Permits");
        section.RequireAtLeast(1, limit.MaxInFlight, "MaxInFlight", orElse: "null for no limit");
        section.Require(limit.MaxKeys is >= 1 and <= MostKeys, "MaxKeys", $"'{limit.MaxKeys}' is out of range; expected 1 to {MostKeys}");
    }

    /// <summary>Requires all that must hold for a way to authenticate.</summary>
    public static void Check(AuthenticationOptions authentication, SectionValidator section)
    {
        var defaults = new AuthenticationOptions();
        foreach (var (type, keys) in Settings.Where(entry => entry.Key != authentication.Type))
        {
            foreach (var property in typeof(AuthenticationOptions).GetProperties().Where(property => keys.Contains(property.Name)))
            {
                section.Require(ListenerOptions.IsSame(property.GetValue(authentication), property.GetValue(defaults)), property.Name,
                    $"is for {type}; this one's Type is {authentication.Type}");
            }
        }
        switch (authentication.Type)
        {
            case AuthenticationType.Basic:
                section.Require(authentication.UsersFile is not null, "UsersFile",
                    "is missing; expected a file that htpasswd -B has written");
                section.Require(authentication.Realm is null || !authentication.Realm.AsSpan().ContainsAnyExceptInRange(' ', '~')
                    && !authentication.Realm.AsSpan().ContainsAny('"', '\\'), "Realm", "cannot be sent; expected ASCII without quotes");
                break;
            case AuthenticationType.Jwt:
                section.Require(authentication.KeysFile is null != authentication.KeysAddress is null, "KeysFile",
                    authentication.KeysFile is null ? "is missing, and so is KeysAddress; expected one of the two"
                        : "is there beside KeysAddress; expected one of the two");
                section.Require(authentication.KeysAddress is null || IsHttp(authentication.KeysAddress), "KeysAddress",
                    "is not an http:// or https:// address");
                section.Require(authentication.Issuer is { Length: > 0 }, "Issuer", "is missing; expected the iss of the tokens");
                section.Require(authentication.Audience is { Length: > 0 }, "Audience", "is missing; expected the aud of the tokens");
                break;
            default:
                section.Require(authentication.Address is not null, "Address",
                    "is missing; expected for example http://127.0.0.1:9091/verify");
                section.Require(authentication.Address is null || IsHttp(authentication.Address), "Address",
                    "is not an http:// or https:// address");
                section.RequireDuration(authentication.Timeout, "Timeout");
                foreach (var (i, name) in authentication.CopyHeaders.Index())
                {
                    section.Require(RequestRules.IsFieldName(name), $"CopyHeaders:{i}", $"'{name}' is not the name of a header field");
                    section.Require(RouteValidator.CanChange(name), $"CopyHeaders:{i}", $"{name} cannot be changed");
                }
                break;
        }
        if (Authenticators.FindFileError(authentication) is var (key, error))
        {
            section.Require(false, key, error);
        }
    }

    private static bool IsHttp(string address) => Uri.TryCreate(address, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https";
}
