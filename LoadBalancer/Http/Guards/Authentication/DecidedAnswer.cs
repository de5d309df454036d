using LoadBalancer.Http.Messages;

namespace LoadBalancer.Http.Guards.Authentication;

/// <summary>The answer of a server that does not let a request through.</summary>
/// <param name="Status">Its status.</param>
/// <param name="Fields">Its fields, without the hop-by-hop ones.</param>
/// <param name="Body">Its body.</param>
internal sealed record DecidedAnswer(int Status, IReadOnlyList<(string Name, string Value)> Fields, byte[] Body)
{
    /// <summary>Sends it to the client.</summary>
    /// <param name="context">The request.</param>
    /// <param name="change">Changes the response's fields before they are sent.</param>
    public async Task WriteAsync(HttpContext context, Action<HttpResponse> change)
    {
        var response = context.Response;
        response.StatusCode = Status;
        foreach (var (name, value) in Fields)
        {
            response.Headers.Append(name, value);
        }
        var hasBody = Status is not (204 or 205 or 304);
        response.ContentLength = hasBody ? Body.Length : null;
        ErrorResponse.EndConnectionIfBodyIsInDoubt(context);
        change(response);
        if (hasBody && Body.Length > 0 && context.Request.Method != HttpMethods.Head)
        {
            await response.BodyWriter.WriteAsync(Body, context.RequestAborted);
        }
    }
}
