using System.Globalization;
using System.Text;
using LoadBalancer.Configuration;
using LoadBalancer.Configuration.Options;
using Microsoft.AspNetCore.Http.Features;
using static Microsoft.AspNetCore.Http.StatusCodes;

namespace LoadBalancer.Management;

/// <summary>The configuration that the nodes of a cluster share.</summary>
internal static class ConfigurationApi
{
    // Skips a byte order mark; invalid bytes are an error.
    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

    /// <summary>All of it.</summary>
    public static IReadOnlyList<ApiEndpoint> Endpoints { get; } =
    [
        new("GET", "/api/cluster/configuration", request => OnSharingAsync(request, sharing => ShowAsync(request, sharing))),
        new("PUT", "/api/cluster/configuration", request => OnSharingAsync(request, sharing => PushAsync(request, sharing))),
        new("GET", "/api/cluster/configuration/history", request =>
            OnSharingAsync(request, sharing => request.AnswerAsync(sharing.History()))),
        new("POST", "/api/cluster/configuration/history/{revision}/rollback", request =>
            OnSharingAsync(request, sharing => RollBackAsync(request, sharing))),
    ];

    private static Task OnSharingAsync(ApiRequest request, Func<SharedConfiguration, Task> answer) =>
        request.Parts.Sharing is { } sharing ? answer(sharing)
        : request.Parts.Cluster is null ? request.RefuseAsync(Status404NotFound, NodeApi.NoCluster)
        : request.RefuseAsync(
            Status409Conflict, "this node does not share its configuration; expected LoadBalancer:Cluster:ShareConfiguration to be true");

    private static Task ShowAsync(ApiRequest request, SharedConfiguration sharing) =>
        // Unlike /api/config it is the text as it was pushed, with the secrets in it.
        request.User.Role != ManagementRole.Operator ? request.RefuseAsync(
            Status403Forbidden,
            $"the token '{request.User.Name}' has the role {request.User.Role}, and the text may have secrets; "
            + $"expected a token with the role {ManagementRole.Operator}")
        : sharing.Show() is { } shown ? request.AnswerAsync(shown)
        : request.RefuseAsync(Status404NotFound, "no configuration was pushed yet: each node uses its own file");

    private static async Task PushAsync(ApiRequest request, SharedConfiguration sharing)
    {
        if (request.Context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } limit)
        {
            limit.MaxRequestBodySize = PushedText.Largest;
        }
        string text;
        try
        {
            var bytes = await request.Parts.Bodies.ReadAsync(request.Context);
            text = StrictUtf8.GetString(bytes.AsSpan().StartsWith(Encoding.UTF8.Preamble) ? bytes.AsSpan(3) : bytes);
        }
        catch (BadHttpRequestException e) when (e.StatusCode == Status413PayloadTooLarge)
        {
            await request.RefuseAsync(e.StatusCode, "the configuration is larger than 1 MiB");
            return;
        }
        catch (DecoderFallbackException)
        {
            await request.RefuseAsync(Status400BadRequest, "the configuration is not valid UTF-8");
            return;
        }
        await request.Parts.Changes.RunAsync(request, AuditAction.Push, () => sharing.Push(text, request.User));
    }

    private static Task RollBackAsync(ApiRequest request, SharedConfiguration sharing) =>
        long.TryParse(request.Names[0], NumberStyles.None, CultureInfo.InvariantCulture, out var number)
            ? request.Parts.Changes.RunAsync(request, AuditAction.Rollback, () => sharing.RollBack(number, request.User))
            : request.RefuseAsync(Status404NotFound, $"'{request.Names[0]}' is no configuration; expected a number from 1 on");
}
