using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http.Headers;

/// <summary>
/// The strings by which Kestrel finds the fields of responses that it knows. It compares references first, and characters only then. It
/// writes its own spelling of these names in any case.
/// </summary>
internal static class HeaderKeys
{
    private static readonly HashSet<string> Known = new(StringComparer.OrdinalIgnoreCase)
    {
        HeaderNames.AcceptRanges, HeaderNames.Age, HeaderNames.Allow, HeaderNames.AltSvc, HeaderNames.CacheControl,
        HeaderNames.ContentEncoding, HeaderNames.ContentLanguage, HeaderNames.ContentLength, HeaderNames.ContentLocation,
        HeaderNames.ContentMD5, HeaderNames.ContentRange, HeaderNames.ContentType, HeaderNames.Date, HeaderNames.ETag, HeaderNames.Expires,
        HeaderNames.GrpcEncoding, HeaderNames.LastModified, HeaderNames.Location, HeaderNames.Pragma, HeaderNames.ProxyAuthenticate,
        HeaderNames.RetryAfter, HeaderNames.Server, HeaderNames.SetCookie, HeaderNames.Trailer, HeaderNames.TransferEncoding,
        HeaderNames.Upgrade, HeaderNames.Vary, HeaderNames.Via, HeaderNames.Warning, HeaderNames.WWWAuthenticate,
        HeaderNames.AccessControlAllowCredentials, HeaderNames.AccessControlAllowHeaders, HeaderNames.AccessControlAllowMethods,
        HeaderNames.AccessControlAllowOrigin, HeaderNames.AccessControlExposeHeaders, HeaderNames.AccessControlMaxAge,
    };

    /// <summary>Kestrel's string of a name, in any case; the name itself where it knows none.</summary>
    public static string Of(string name) => Known.TryGetValue(name, out var key) ? key : name;
}
