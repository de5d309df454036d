/// <summary>The demonstration backend of the programs Backend1 and Backend2: a web server that answers with its name.</summary>
internal static class DemoBackend
{
    /// <summary>
    /// Serves on 127.0.0.1:<paramref name="port"/>, or on the address of the option <c>--urls</c>, until Ctrl+C. Every answer is 200 with
    /// one line: the backend's name, and the request's method and path.
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
