/// <summary>
/// Runs in each program that the tests start, before its Main (DOTNET_STARTUP_HOOKS). Writes unobserved task exceptions to standard
/// error. Collects garbage often, because they are only reported then. The runtime requires this name and no namespace.
/// </summary>
internal static class StartupHook
{
    private static Timer? _collecting;

    public static void Initialize()
    {
        TaskScheduler.UnobservedTaskException += (_, e) => Console.Error.WriteLine("unobserved exception: " + e.Exception.Flatten());
        _collecting = new Timer(_ => GC.Collect(), null, TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(1));
    }
}
