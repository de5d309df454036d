using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;
using LoadBalancer.Files;
using LoadBalancer.Http.Messages;

namespace LoadBalancer.Http.Routes;

/// <summary>Opens files that are sent as responses, and are read again when they change.</summary>
/// <param name="time">The clock.</param>
/// <param name="logger">Gets each change.</param>
internal sealed class RouteFiles(TimeProvider time, ILogger logger)
{
    /// <summary>Opens a file.</summary>
    /// <exception cref="StartException">It cannot be read.</exception>
    public WatchedFile<byte[]> Open(string path) => Open(path, "a route's file", bytes => bytes);

    /// <summary>Opens the error pages of a listener; null where it has none.</summary>
    /// <exception cref="StartException">One cannot be read, or is too large.</exception>
    public ErrorPages? OpenPages(HttpListenerOptions listener)
    {
        var pages = listener.ErrorPages.Where(page => page.Value is not null).ToList();
        var files = pages.Select(page => page.Value!).Distinct().ToDictionary(path => path, path => Open(path, "the error page", Page));
        return pages.Count == 0 ? null
            : new ErrorPages(pages.ToDictionary(page => page.Key.ToLowerInvariant(), page => files[page.Value!]));
    }

    private static byte[] Page(byte[] bytes) => bytes.Length <= HttpListenerOptions.LargestErrorPage
        ? bytes
        : throw new FormatException($"it has more than {HttpListenerOptions.LargestErrorPage} bytes");

    private WatchedFile<byte[]> Open(string path, string what, Func<byte[], byte[]> read)
    {
        try
        {
            return new(path, read, time, logger);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or FormatException)
        {
            throw new StartException($"{what} '{path}' cannot be read: {e.Message}", e);
        }
    }
}
