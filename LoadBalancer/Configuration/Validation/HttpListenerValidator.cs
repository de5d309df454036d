using System.Text.RegularExpressions;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Configuration.Reading;
using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Http.Messages;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Checks what only an Http listener has.</summary>
internal static partial class HttpListenerValidator
{
    /// <summary>Requires all that must hold for it.</summary>
    public static void Check(
        string user, HttpListenerOptions listener, LoadBalancerOptions all, AddressValidator addresses, SectionValidator section)
    {
        addresses.Check(section, "Address", user, listener.Address, "http://127.0.0.1:8080", "http", "https", "unix");
        AddressValidator.CheckMode(section, listener.Address, listener.SocketMode);
        CheckTls(listener, section);
        AcmeValidator.Check(listener.Acme, all, section);
        RouteValidator.Check(listener, all, section);
        var unknown = AccessLogLayout.FindUnknown(listener.AccessLogFormat);
        section.Require(listener.AccessLogFormat.Count > 0, "AccessLogFormat",
            "is empty; expected Common, Combined, Json or a list of fields");
        section.Require(unknown is null, "AccessLogFormat",
            $"'{unknown}' is not valid; expected {string.Join(", ", AccessLogLayout.Names)}, or a list of "
            + $"{string.Join(", ", AccessField.All.Select(field => field.Name))}"
            + NearestName.Hint(unknown ?? "", AccessLogLayout.Names.Concat(AccessField.All.Select(field => field.Name))));
        section.Require(listener.RequestId is null || RequestRules.IsFieldName(listener.RequestId), "RequestId",
            $"'{listener.RequestId}' is not the name of a header field; expected for example X-Request-Id");
        section.Require(listener.RequestId is null || RouteValidator.CanChange(listener.RequestId), "RequestId",
            $"{listener.RequestId} cannot be changed; expected for example X-Request-Id");
        section.Require(listener.Via is null || RequestRules.IsFieldName(listener.Via), "Via",
            $"'{listener.Via}' is not a name for Via; expected letters, digits and hyphens, for example edge");
        CheckErrorPages(listener, section);
        RouteValidator.CheckRateLimit(listener.RateLimit, isNoneAllowed: false, all, section);
        RouteValidator.CheckAuthentication(
            listener.Authentication, listener.RateLimit, isNoneAllowed: false, listener.ClientCertificates is not null, all, section);
        CompressionValidator.Check(listener.Compression, isNoneAllowed: false, section);
        section.RequireAtLeast(0, listener.MaxRequestBodySize, "MaxRequestBodySize", orElse: "null for no limit");
        CheckHeaderLimits(listener.HeaderLimits, section.Below("HeaderLimits"));
        section.RequireDuration(listener.RequestHeadersTimeout, "RequestHeadersTimeout");
        section.RequireDuration(listener.KeepAliveTimeout, "KeepAliveTimeout");
        CheckAccessLog(listener.AccessLog, section);
    }

    private static void CheckHeaderLimits(HeaderLimitOptions limits, SectionValidator section)
    {
        const int MostFields = 10_000;
        const int MostBytes = 1024 * 1024;
        section.Require(limits.Count is >= 1 and <= MostFields, "Count", $"'{limits.Count}' is out of range; expected 1 to {MostFields}");
        section.Require(limits.TotalBytes is >= 1 and <= MostBytes, "TotalBytes",
            $"'{limits.TotalBytes}' is out of range; expected 1 to {MostBytes}");
        section.Require(limits.LineBytes is >= 1 and <= MostBytes, "LineBytes",
            $"'{limits.LineBytes}' is out of range; expected 1 to {MostBytes}");
    }

    private static void CheckTls(HttpListenerOptions listener, SectionValidator section)
    {
        var isTls = listener.Address?.Scheme == "https";
        TlsValidator.Check(listener.Address, listener, section);
        section.Require(!isTls || !listener.RedirectToHttps, "RedirectToHttps", "is for plain listeners; this one is https already");
        section.Require(!isTls || !listener.HttpVersion.Has2, "HttpVersion",
            "is for plain listeners; an https listener negotiates it");
        section.Require(listener.Hsts is null || isTls, "Hsts",
            "is for https listeners; browsers ignore it from others (RFC 6797 section 8.1)");
        section.Require(listener.Hsts is null || Hsts().IsMatch(listener.Hsts), "Hsts",
            $"'{listener.Hsts}' is not valid; expected for example max-age=31536000; includeSubDomains");
    }

    private static void CheckErrorPages(HttpListenerOptions listener, SectionValidator section)
    {
        foreach (var (status, file) in listener.ErrorPages)
        {
            var key = $"ErrorPages:{status}";
            section.Require(ErrorStatus().IsMatch(status), key, $"'{status}' is no status of an error; expected 400 to 599, 4xx or 5xx");
            section.Require(file is not "", key, "is empty; expected a file");
            var error = file is null or "" ? null : RouteValidator.FileError(file);
            section.Require(error is null, key, $"'{file}' cannot be read: {error}");
            var isTooLarge = error is null && file?.Length > 0 && new FileInfo(file).Length > HttpListenerOptions.LargestErrorPage;
            section.Require(!isTooLarge, key, $"'{file}' has more than {HttpListenerOptions.LargestErrorPage} bytes");
        }
    }

    // false, none or stdout are meant to be words; a file of that name would appear somewhere, and nobody would look for it.
    private static void CheckAccessLog(string setting, SectionValidator section)
    {
        if (setting.Equals("Off", StringComparison.OrdinalIgnoreCase) || setting.Equals("Console", StringComparison.OrdinalIgnoreCase))
        {
            return;
        }
        var isFile = setting.AsSpan().ContainsAny('/', '\\', '.');
        section.Require(isFile, "AccessLog",
            $"'{setting}' is not valid; expected Off, Console or a file, whose name has a dot or a slash, for example logs/access.log");
        var error = isFile ? AppendingFile.FindError(setting) : null;
        section.Require(error is null, "AccessLog", $"'{setting}' cannot be written: {error}");
    }

    [GeneratedRegex("^[45]([0-9]{2}|[xX]{2})\\z")]
    private static partial Regex ErrorStatus();

    [GeneratedRegex("^max-age=[0-9]+( *; *[A-Za-z]+)*\\z")]
    private static partial Regex Hsts();
}
