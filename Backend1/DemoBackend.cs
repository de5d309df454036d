/// <summary>The demonstration backend that Backend1 and Backend2 are: a web server that says who it is.</summary>
internal static class DemoBackend
{
    /// <summary>
    /// Serves on 127.0.0.1:<paramref name="port"/> (or where <c>--urls</c> says) until Ctrl+C; every request is answered 200
    /// with one line that names the backend and what it was asked for.
    /// </summary>
    public static void Run(string name, int port, string[] args)
    {
        var builder = WebApplication.CreateSlimBuilder(args);
        builder.Configuration["urls"] ??= $"http://127.0.0.1:{port}";
        builder.Logging.SetMinimumLevel(LogLevel.Warning);

        var app = builder.Build();
        app.MapFallback((HttpRequest request) => $"Hello from {name}: {request.Method} {request.Path}\n");
        app.Lifetime.ApplicationStarted.Register(() => Console.WriteLine($"{name} listens on {string.Join(", ", app.Urls)}"));
        app.Run();
    }
}
