namespace LoadBalancer.Management;

/// <summary>What a request shows in place of the token.</summary>
internal enum TokenCheck
{
    /// <summary>The token, its cookie, or nothing where none is required.</summary>
    Right,

    /// <summary>Nothing.</summary>
    Missing,

    /// <summary>Something else.</summary>
    Wrong,

    /// <summary>Something that was not looked at, because its sender was wrong too often. See <see cref="WrongTokens"/>.</summary>
    Paused,
}
