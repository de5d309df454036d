namespace LoadBalancer.Diagnostics;

/// <summary>
/// Runs tasks that are not awaited, so that none of them can fail in silence. Such a task handles the errors that it expects itself;
/// anything else is a bug, and is logged as an error. A cancellation is expected: that is how such a task is stopped.
/// </summary>
internal static partial class BackgroundTask
{
    /// <summary>Lets a task that was started go on by itself; costs nothing where it has completed already.</summary>
    /// <param name="task">The task.</param>
    /// <param name="logger">Gets what was not expected.</param>
    /// <param name="activity">What the task does and for whom, for the log: <c>pool 'web': probing backend 'a'</c>.</param>
    public static void Run(Task task, ILogger logger, string activity)
    {
        if (!task.IsCompletedSuccessfully)
        {
            _ = ObserveAsync(task, logger, activity); // cannot fail
        }
    }

    private static async Task ObserveAsync(Task task, ILogger logger, string activity)
    {
        try
        {
            await task;
        }
        catch (OperationCanceledException)
        {
            // It was stopped.
        }
        catch (Exception e)
        {
            LogFailed(logger, e, activity);
        }
    }

    [LoggerMessage(5, LogLevel.Error, "{Activity} has ended with an unexpected error; please report it")]
    private static partial void LogFailed(ILogger logger, Exception exception, string activity);
}
