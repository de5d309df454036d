using System.CommandLine;
using System.CommandLine.Invocation;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.CommandLine;

/// <summary>What <c>--version</c> does: it prints the version and which build this is.</summary>
internal sealed class VersionAction : SynchronousCommandLineAction
{
    /// <inheritdoc/>
    public override bool ClearsParseErrors => true; // As the one that it replaces.

    /// <inheritdoc/>
    public override int Invoke(ParseResult parseResult)
    {
        Console.WriteLine(BuildInformation.Text);
        return 0;
    }
}
