using LoadBalancer.Http.Headers;
using Microsoft.Extensions.Primitives;

namespace LoadBalancer.Http.Upstream.Exchanges;

/// <summary>The fields of a backend's response on their way to the client.</summary>
internal static class ResponseFields
{
    /// <summary>Copies the fields of a response's head, except the hop-by-hop ones.</summary>
    /// <param name="fields">The fields.</param>
    /// <param name="status">The status; two of them have no Content-Length.</param>
    /// <param name="named">The further fields that are hop-by-hop.</param>
    /// <param name="to">Gets them.</param>
    public static void Copy(HeaderLines fields, int status, HashSet<string>? named, HttpResponse to)
    {
        var headers = to.Headers;
        for (var i = 0; i < fields.Count; i++)
        {
            var field = fields[i];
            if (field.IsReturned && named?.Contains(field.Name) != true
                && (field.Kind != HeaderKind.ContentLength || status is not (204 or 205)))
            {
                headers[field.Key] = fields.MayRepeat ? StringValues.Concat(headers[field.Key], field.Value) : field.Value;
            }
        }
    }
}
