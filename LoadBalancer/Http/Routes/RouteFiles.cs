using LoadBalancer.Diagnostics;
using LoadBalancer.Files;

namespace LoadBalancer.Http.Routes;

/// <summary>Opens files that are sent as responses, and are read again when they change.</summary>
/// <param name="time">The clock.</param>
/// <param name="logger">Gets each change.</param>
internal sealed class RouteFiles(TimeProvider time, ILogger logger)
{
    /// <summary>Opens a file.</summary>
    /// <exception cref="StartException">It cannot be read.</exception>
    public WatchedFile<byte[]> Open(string path)
    {
        try
        {
            return new(path, bytes => bytes, time, logger);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new StartException($"a route's file '{path}' cannot be read: {e.Message}", e);
        }
    }
}
