using System.Text.Json.Nodes;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Management;

/// <summary>The user of the management listener.</summary>
/// <param name="Name">The name of the token; see <see cref="Nameless"/> and <see cref="OfToken"/>.</param>
/// <param name="Role">What the user may do.</param>
internal sealed record ManagementUser(string Name, ManagementRole Role)
{
    /// <summary>Where no token is required.</summary>
    public static ManagementUser Nameless { get; } = new("-", ManagementRole.Operator);

    /// <summary>With the token of <see cref="ManagementOptions.Token"/> or <see cref="ManagementOptions.TokenFile"/>.</summary>
    public static ManagementUser OfToken { get; } = new(ManagementOptions.NameOfToken, ManagementRole.Operator);

    /// <summary>As the API shows it.</summary>
    public JsonObject ToJson() => new() { ["name"] = Name, ["role"] = $"{Role}" };

    /// <summary>As the log names the user.</summary>
    public override string ToString() => this == Nameless ? "an operator" : $"'{Name}'";
}
