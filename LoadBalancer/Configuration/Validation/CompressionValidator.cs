using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Transforms;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Checks which responses a listener or a route compresses.</summary>
internal static class CompressionValidator
{
    /// <summary>Requires all that must hold for it.</summary>
    public static void Check(CompressionOptions? compression, bool isNoneAllowed, SectionValidator section)
    {
        if (compression is null || ReferenceEquals(compression, CompressionOptions.None))
        {
            section.Require(compression is null || isNoneAllowed, "Compression",
                "None is for routes, which have the listener's else; expected null for none");
            return;
        }
        section.Require(compression.Types.Count > 0, "Compression:Types",
            "is empty; expected for example text/*" + (isNoneAllowed ? ", or None in place of the object" : ""));
        foreach (var (i, type) in compression.Types.Index())
        {
            section.Require(MediaTypes.IsPattern(type), $"Compression:Types:{i}",
                $"'{type}' is not a media type; expected for example application/json, text/* or *");
        }
        section.RequireAtLeast(0, compression.MinSize, "Compression:MinSize");
    }
}
