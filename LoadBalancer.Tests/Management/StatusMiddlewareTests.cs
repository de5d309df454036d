using LoadBalancer.Management;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;

namespace LoadBalancer.Tests.Management;

/// <summary>What a listener for clients says about itself.</summary>
internal sealed class StatusMiddlewareTests
{
    [TestCase("GET", "/health")]
    [TestCase("HEAD", "/health")]
    [TestCase("GET", "/status")]
    [TestCase("HEAD", "/status")]
    public async Task Invoke_StatusPath_IsWorkedOutOnThePoolAndNotOnTheThreadThatServesRequests(string method, string path)
    {
        var (answer, caller) = await InvokeOnAThreadOfItsOwnAsync(method, path);

        answer.IsPool.Should().BeTrue("an event loop that writes down thousands of backends keeps its connections waiting");
        answer.Thread.Should().NotBe(caller);
    }

    [Test]
    public async Task Invoke_AnythingElse_PassesOnTheSameThread()
    {
        var (answer, caller) = await InvokeOnAThreadOfItsOwnAsync("GET", "/statuses");

        answer.Should().Be((false, caller));
    }

    private static async Task<((bool IsPool, int Thread) Answer, int Caller)> InvokeOnAThreadOfItsOwnAsync(string method, string path)
    {
        var answered = new TaskCompletionSource<(bool, int)>(TaskCreationOptions.RunContinuationsAsynchronously);
        void Note() => answered.TrySetResult((Thread.CurrentThread.IsThreadPoolThread, Environment.CurrentManagedThreadId));
        using var host = new HostBuilder().Build();
        var middleware = new StatusMiddleware(
            _ =>
            {
                Note();
                return Task.CompletedTask;
            },
            () =>
            {
                Note();
                return [];
            },
            host.Services.GetRequiredService<IHostApplicationLifetime>());
        var context = new DefaultHttpContext();
        (context.Request.Method, context.Request.Path) = (method, path);
        var invoked = new TaskCompletionSource<(Task, int)>(TaskCreationOptions.RunContinuationsAsynchronously);
        new Thread(() => invoked.SetResult((middleware.InvokeAsync(context), Environment.CurrentManagedThreadId))).Start();
        var (invocation, caller) = await invoked.Task;
        await invocation;
        return (await answered.Task, caller);
    }
}
