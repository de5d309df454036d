using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.WebUtilities;

namespace TaskServer;

/// <summary>Answers every error with one line of JSON, and counts it.</summary>
internal sealed class ErrorMiddleware(RequestDelegate next, ErrorStatistics errors)
{
    /// <summary>Calls the next middleware, and answers if that fails.</summary>
    public async Task InvokeAsync(HttpContext context)
    {
        var response = context.Response;
        string? message = null;
        try
        {
            await next(context);
        }
        catch (BadHttpRequestException e)
        {
            (response.StatusCode, message) = (e.StatusCode, e.Message);
        }
        catch (Exception e) when (!context.RequestAborted.IsCancellationRequested)
        {
            response.StatusCode = StatusCodes.Status500InternalServerError;
            Console.Error.WriteLine($"{context.Request.Method} {RawTarget(context)}: {e.Message}");
        }
        if (response.StatusCode >= 400 && !response.HasStarted)
        {
            message ??= ReasonPhrases.GetReasonPhrase(response.StatusCode);
            errors.Add(response.StatusCode, $"{context.Request.Method} {RawTarget(context)}: {message}");
            await response.WriteAsJsonAsync(new { error = message }, TaskItem.Json);
        }
    }

    // As it was sent. Decoded, it could contain a line break.
    private static string RawTarget(HttpContext context) => context.Features.GetRequiredFeature<IHttpRequestFeature>().RawTarget;
}
