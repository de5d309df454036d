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

    /// <summary>
    /// The line of the file in which the setting is, or the section that lacks it; from 1. Null where it does not come from the file.
    /// </summary>
    public int? Line { get; init; }

    /// <summary>The line that is shown to the user.</summary>
    public override string ToString() =>
        $"{AddressText.WithoutCredentials(Path)}: {Message}{(Line is null ? "" : $" (line {Line})")}";
}
