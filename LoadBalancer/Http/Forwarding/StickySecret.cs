namespace LoadBalancer.Http.Forwarding;

/// <summary>The secret key of sticky sessions. Another one makes all cookies worthless that were given before. Thread-safe.</summary>
public sealed class StickySecret(byte[] key)
{
    private volatile byte[] _key = key;

    /// <summary>The key.</summary>
    public byte[] Key
    {
        get => _key;
        set => _key = value;
    }
}
