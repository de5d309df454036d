using TaskServer;

var builder = WebApplication.CreateSlimBuilder(args);
builder.Configuration["urls"] ??= "http://127.0.0.1:5001";
// The host would print why it cannot start; so does the catch block below.
builder.Logging.SetMinimumLevel(LogLevel.Warning).AddFilter("Microsoft.Extensions.Hosting", LogLevel.None);
builder.WebHost.ConfigureKestrel(kestrel => kestrel.Limits.MaxRequestBodySize = 64 * 1024);

try
{
    var tasks = await TaskFile.OpenAsync(builder.Configuration["tasks"] ?? "tasks.json", TimeProvider.System);
    var errors = new ErrorStatistics(TimeProvider.System);
    await using var app = builder.Build();
    app.UseMiddleware<ErrorMiddleware>(errors);

    string[] read = ["GET", "HEAD"];
    // Only whether the process runs. A file that cannot be read is the same for all servers: taking them all out would not help.
    app.MapMethods("/health", read, () => Json(new { status = "ok" }));
    app.MapMethods("/errors/stats", read, () => Json(errors.Report));
    app.MapMethods("/tareas", read, async () => Json(await tasks.ReadAsync()));
    app.MapMethods("/tareas/{id:long}", read, async (long id) =>
    {
        var task = (await tasks.ReadAsync()).Find(task => task.Id == id);
        return Json(task ?? throw new BadHttpRequestException($"there is no task {id}", StatusCodes.Status404NotFound));
    });
    app.MapPost("/tareas", async (HttpContext context) =>
    {
        var task = await tasks.AddAsync(await TaskItem.ReadAsync(context.Request.Body, context.RequestAborted));
        context.Response.Headers.Location = $"/tareas/{task.Id}";
        return Json(task, StatusCodes.Status201Created);
    });

    await app.StartAsync();
    Console.WriteLine($"task server listens on {string.Join(", ", app.Urls)}; its tasks are in {tasks.FullName}");
    await app.WaitForShutdownAsync();
    return 0;
}
catch (Exception e) when (e is IOException or UnauthorizedAccessException or FormatException)
{
    Console.Error.WriteLine(e.Message); // a port that is taken, a folder without write permission, --urls that are not valid
    return 1;
}
catch (OperationCanceledException)
{
    return 0; // told to stop before it had started
}

static IResult Json<T>(T value, int status = StatusCodes.Status200OK) => Results.Json(value, TaskItem.Json, statusCode: status);
