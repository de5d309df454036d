using LoadBalancer.Net;

namespace LoadBalancer.Configuration.Reading;

/// <summary>One thing that is wrong with the configuration.</summary>
/// <param name="Path">
/// Where: a configuration path such as <c>LoadBalancer:Pools:web:Policy</c>; the file, where the file as a whole is wrong.
/// </param>
/// <param name="Message">What is wrong and what was expected, in one line.</param>
public sealed record ConfigurationError(string Path, string Message)
{
    /// <summary>What is wrong and what was expected, without the passwords in addresses that it quotes.</summary>
    public string Message { get; init; } = AddressText.WithoutCredentials(Message);

    /// <summary>The line that is shown to the user.</summary>
    public override string ToString() => $"{AddressText.WithoutCredentials(Path)}: {Message}";
}
