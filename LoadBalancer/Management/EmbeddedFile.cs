using System.Reflection;

namespace LoadBalancer.Management;

/// <summary>Files that are in the program.</summary>
internal static class EmbeddedFile
{
    /// <summary>Reads one that is there.</summary>
    public static byte[] Read(string name)
    {
        using var stream = Assembly.GetExecutingAssembly().GetManifestResourceStream(name)!;
        using var bytes = new MemoryStream();
        stream.CopyTo(bytes);
        return bytes.ToArray();
    }
}
