namespace Samples;

/// <summary>Work that nobody awaits.</summary>
internal static class Background
{
    /// <summary>Starts work and returns. An exception is written to standard error: without that it would be lost.</summary>
    public static void Run(Func<Task> work) => _ = LogAsync(work);

    private static async Task LogAsync(Func<Task> work)
    {
        try
        {
            await work();
        }
        catch (Exception e)
        {
            Console.Error.WriteLine($"unexpected: {e}");
        }
    }
}
