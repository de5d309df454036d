namespace LoadBalancer.Configuration;

/// <summary>A configuration that was pushed to the cluster, and stands for some sections of the node's own file.</summary>
/// <param name="Number">Its number; 0 where it has none yet.</param>
/// <param name="Text">Its text: JSON, as in a file.</param>
public record PushedText(long Number, string Text)
{
    /// <summary>The largest one, in bytes.</summary>
    public const int Largest = 1024 * 1024;

    /// <inheritdoc/>
    public sealed override string ToString() => $"configuration {Number} of the cluster"; // never the text, which may have secrets
}
