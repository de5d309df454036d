using System.CommandLine;
using LoadBalancer.Configuration;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Configuration.Reading;
using LoadBalancer.Diagnostics;
using LoadBalancer.Net;

namespace LoadBalancer.CommandLine;

/// <summary>
/// The command line: without a command, or with <c>run</c>, it runs; <c>check</c>, <c>schema</c>, <c>completion</c>, the commands that talk
/// to a running node; <c>--config FILE</c>, settings as <c>--LoadBalancer:…=…</c>.
/// </summary>
internal static class CommandLineInterface
{
    private const string SettingPrefix = "--" + LoadBalancerOptions.SectionName + ":";

    /// <summary>Reads the command line and does what it says; if the configuration is invalid, only its errors are printed.</summary>
    /// <param name="args">The words of the command line.</param>
    /// <param name="runAsync">Runs a node.</param>
    /// <param name="refusedAsync">Called with the errors where a node does not run because of its configuration.</param>
    /// <returns>The exit code: 0, or 1 after an error.</returns>
    public static async Task<int> InvokeAsync(
        string[] args, Func<LoadedConfiguration, Task<int>> runAsync, Func<IEnumerable<string>, Task> refusedAsync)
    {
        // Settings may be anywhere and have any name, so they are taken out before the rest is parsed.
        var settings = args.Where(IsSetting).ToArray();
        var config = new Option<string>("--config", "-c")
        {
            Description = "Use this configuration file instead of the shipped one; commands find the node by it.",
            HelpName = "FILE",
            Recursive = true,
        };
        var run = new Command("run", "Run a node. So does no command at all.");
        var check = new Command("check", "Check the configuration, report every error and warning in it, and exit.");
        var schema = new Command("schema", "Print the JSON schema of the configuration file, for editors, and exit.");
        var root = new RootCommand($"""
            A load balancer for HTTP, TCP, tasks and ZeroMQ requests, with health checks.

            Any setting of the file can be overridden by {SettingPrefix}Pools:web:Policy=First on the command line
            or LoadBalancer__Pools__web__Policy=First in the environment.
            """);
        root.Options.OfType<VersionOption>().Single().Action = new VersionAction();
        root.Options.Add(config);
        root.Subcommands.Add(run);
        root.Subcommands.Add(check);
        root.Subcommands.Add(schema);
        foreach (var command in new OperatorCommands(new NodeAddress(config)).All())
        {
            root.Subcommands.Add(command);
        }
        root.Subcommands.Add(Completion.New());

        async Task<int> RunAsync(ParseResult parsed)
        {
            var loaded = ConfigurationLoader.Load(parsed.GetValue(config), settings);
            if (Report(loaded))
            {
                return await runAsync(loaded);
            }
            await refusedAsync(loaded.Errors.Select(error => $"{error}"));
            return 1;
        }
        root.SetAction((parsed, _) => RunAsync(parsed));
        run.SetAction((parsed, _) => RunAsync(parsed));
        check.SetAction(parsed =>
        {
            var valid = Report(ConfigurationLoader.Load(parsed.GetValue(config), settings));
            if (valid)
            {
                Console.WriteLine("configuration is valid");
            }
            return valid ? 0 : 1;
        });
        schema.SetAction(_ => Console.WriteLine(JsonText.Of(ConfigurationSchema.Create(), isIndented: true)));
        // The host handles signals, and waits for requests in flight: no time-out of two seconds here.
        var invocation = new InvocationConfiguration { ProcessTerminationTimeout = null };
        // What is not understood is shown.
        return await root.Parse([.. args.Where(arg => !IsSetting(arg)).Select(AddressText.WithoutCredentials)]).InvokeAsync(invocation);
    }

    private static bool IsSetting(string arg) =>
        arg.StartsWith(SettingPrefix, StringComparison.OrdinalIgnoreCase) && arg.Contains('=', StringComparison.Ordinal);

    private static bool Report(LoadedConfiguration loaded)
    {
        foreach (var warning in loaded.Warnings)
        {
            Console.WriteLine($"warning: {warning}");
        }
        foreach (var error in loaded.Errors)
        {
            Console.Error.WriteLine(error);
        }
        return loaded.Errors.Count == 0;
    }
}
