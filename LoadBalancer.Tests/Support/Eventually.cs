using System.Diagnostics;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Support;

/// <summary>Waits for what must become true, where only real time can make it so.</summary>
internal static class Eventually
{
    public static async Task BeTrueAsync(Func<bool> condition, string because) =>
        await BeTrueAsync(() => Task.FromResult(condition()), because);

    /// <summary>Lets time pass, step by step, until a task is done: what it waits for may begin to wait only a little later.</summary>
    public static Task BeDoneAsync(Task done, FakeTimeProvider clock, TimeSpan step, string because) => BeTrueAsync(
        () =>
        {
            clock.Advance(step);
            return done.IsCompleted;
        },
        because);

    public static async Task BeTrueAsync(Func<Task<bool>> condition, string because)
    {
        var waited = Stopwatch.StartNew();
        while (!await condition())
        {
            if (waited.Elapsed > TimeLimits.Event)
            {
                Assert.Fail($"waited {TimeLimits.Event.TotalSeconds} s until {because}");
            }
            await Task.Delay(TimeSpan.FromMilliseconds(5), TimeProvider.System);
        }
    }
}
