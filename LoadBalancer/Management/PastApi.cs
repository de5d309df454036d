using static Microsoft.AspNetCore.Http.StatusCodes;

namespace LoadBalancer.Management;

/// <summary>What can be asked about the last minutes and hours.</summary>
internal static class PastApi
{
    /// <summary>All of it.</summary>
    public static IReadOnlyList<ApiEndpoint> Endpoints { get; } =
    [
        new("GET", "/api/errors", request => request.AnswerAsync(request.Parts.Events.Errors())),
        new("GET", "/api/pools/{pool}/history", request => PoolApi.OnPoolAsync(request, pool => request.AnswerAsync(
            request.Parts.Events.History(pool, request.Context.Request.Query["backend"].OfType<string>().ToHashSet())))),
        new("GET", "/api/pools/{pool}/latency", request => PoolApi.OnPoolAsync(request, pool =>
        {
            var wanted = request.Context.Request.Query["span"].FirstOrDefault() ?? LatencyHistory.Spans[0].Name;
            return LatencyHistory.Spans.FirstOrDefault(span => span.Name == wanted) is { } span
                ? request.AnswerAsync(request.Parts.Events.Latency(pool, span))
                : request.RefuseAsync(
                    Status400BadRequest,
                    $"span '{wanted}' is not known; expected one of {string.Join(", ", LatencyHistory.Spans.Select(known => known.Name))}");
        })),
    ];
}
