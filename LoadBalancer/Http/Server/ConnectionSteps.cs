using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;

namespace LoadBalancer.Http.Server;

/// <summary>What is done with a new connection before a server gets it, one step after the other.</summary>
internal static class ConnectionSteps
{
    /// <summary>All of them as one; null where there is none.</summary>
    /// <param name="steps">Each gives false where the connection is over; null where it is not taken.</param>
    public static Func<ConnectionContext, CancellationToken, Task<bool>>? Of(
        params IEnumerable<Func<ConnectionContext, CancellationToken, Task<bool>>?> steps)
    {
        var taken = steps.OfType<Func<ConnectionContext, CancellationToken, Task<bool>>>().ToArray();
        return taken.Length switch
        {
            0 => null,
            1 => taken[0],
            _ => (connection, stopping) => RunAsync(taken, connection, stopping),
        };
    }

    /// <summary>Runs a step, and then the rest: where the transport does not prepare connections.</summary>
    public static async Task RunAsync(
        Func<ConnectionContext, CancellationToken, Task<bool>> step, ConnectionContext connection, ConnectionDelegate next)
    {
        var lifetime = connection.Features.Get<IConnectionLifetimeNotificationFeature>();
        if (await step(connection, lifetime?.ConnectionClosedRequested ?? default))
        {
            await next(connection);
        }
    }

    private static async Task<bool> RunAsync(
        Func<ConnectionContext, CancellationToken, Task<bool>>[] steps, ConnectionContext connection, CancellationToken stopping)
    {
        foreach (var step in steps)
        {
            if (!await step(connection, stopping))
            {
                return false;
            }
        }
        return true;
    }
}
