using static Microsoft.AspNetCore.Http.StatusCodes;

namespace LoadBalancer.Management;

/// <summary>A request to the management API.</summary>
/// <param name="Context">The request itself.</param>
/// <param name="Parts">What it is about.</param>
/// <param name="User">The user.</param>
/// <param name="Names">The names in its path, in their order.</param>
internal sealed record ApiRequest(HttpContext Context, ManagementParts Parts, ManagementUser User, IReadOnlyList<string> Names)
{
    /// <summary>Answers with JSON.</summary>
    public Task AnswerAsync(System.Text.Json.Nodes.JsonNode json, int status = Status200OK) => Answer.JsonAsync(Context, status, json);

    /// <summary>Answers with an error.</summary>
    public Task RefuseAsync(int status, string line) => Answer.ErrorAsync(Context, status, line);
}
