using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Diagnostics.Access;
using LoadBalancer.Files;
using LoadBalancer.Http.Messages;
using LoadBalancer.Http.Transforms;
using Microsoft.AspNetCore.StaticFiles;

namespace LoadBalancer.Http.Routes;

/// <summary>Answers with a text or a file.</summary>
internal sealed class RespondAction : IRouteAction
{
    private const string Text = "text/plain; charset=utf-8";

    private readonly RespondOptions _options;
    private readonly ValueTemplate _body;
    private readonly string _contentType;
    private readonly WatchedFile<byte[]>? _file;

    /// <summary>Compiles valid options.</summary>
    /// <exception cref="StartException">The file cannot be read.</exception>
    public RespondAction(RespondOptions options, RouteFiles files)
    {
        (_options, _body) = (options, ValueTemplate.Parse(options.Body ?? ""));
        _file = options.File is { } file ? files.Open(file) : null;
        var ofFile = _file is not null && new FileExtensionContentTypeProvider().TryGetContentType(options.File!, out var type) ? type
            : Text;
        _contentType = options.ContentType ?? ofFile;
    }

    /// <inheritdoc/>
    public async Task InvokeAsync(RouteInput input, AccessRecord? record, RoutedRequest? request)
    {
        var context = input.Request.HttpContext;
        var response = context.Response;
        var body = _file?.Content ?? Encoding.UTF8.GetBytes(_body.Expand(request!));
        response.StatusCode = _options.Status;
        var hasBody = _options.Status is not (204 or 205 or 304);
        if (hasBody)
        {
            response.ContentType = body.Length > 0 ? _contentType : null;
            response.ContentLength = body.Length;
        }
        ErrorResponse.EndConnectionIfBodyIsInDoubt(context);
        request!.ChangeResponse(response);
        if (request.Rules.Compression is { } compression && compression.Begin(context) is { } coding)
        {
            body = await compression.CompressAsync(body, coding);
            response.ContentLength = body.Length;
        }
        if (hasBody && context.Request.Method != HttpMethods.Head && body.Length > 0)
        {
            if (record is not null)
            {
                record.Bytes = body.Length;
            }
            await response.BodyWriter.WriteAsync(body, context.RequestAborted);
        }
    }
}
