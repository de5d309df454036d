using System.CommandLine;
using System.Text.Json.Nodes;

namespace LoadBalancer.CommandLine;

/// <summary>The commands that talk to a running node over its management API.</summary>
/// <param name="address">Finds the node.</param>
internal sealed partial class OperatorCommands(NodeAddress address)
{
    private static readonly TimeSpan WaitPoll = TimeSpan.FromMilliseconds(200);

    // The new process has 30 s to get ready.
    private static readonly TimeSpan LongestUpgrade = TimeSpan.FromSeconds(40);

    private readonly Option<bool> _json = new("--json") { Description = "Print what the API answers." };

    private readonly Argument<string> _backend = new("POOL/BACKEND") { Description = "For example web/backend1." };

    /// <summary>All of them.</summary>
    public IEnumerable<Command> All()
    {
        var status = New("status", "Show what is wrong, and what each pool does.");
        Do(status, (client, options, cancel) => StatusView.PrintAsync(client, options.GetValue(_json), cancel));

        var name = new Argument<string?>("POOL") { Arity = ArgumentArity.ZeroOrOne, Description = "Only this pool." };
        var pools = New("pools", "Show the pools and their backends.");
        pools.Arguments.Add(name);
        Do(pools, (client, options, cancel) => PoolsView.PrintAsync(client, options.GetValue(name), options.GetValue(_json), cancel));

        var wait = new Option<bool>("--wait") { Description = "Return when nothing is in flight there." };
        var drain = ForBackend("drain", "Let a backend finish what it has, and give it nothing new but to sticky clients.");
        drain.Options.Add(wait);
        Do(drain, async (client, options, cancel) =>
        {
            await ChangeAsync(client, options, new JsonObject { ["adminState"] = "Draining" }, cancel);
            if (options.GetValue(wait))
            {
                await WaitAsync(client, options, cancel);
            }
            return 0;
        });
        var ready = ForBackend("ready", "Give a backend work again.");
        Do(ready, (client, options, cancel) => ChangeAsync(client, options, new JsonObject { ["adminState"] = "Ready" }, cancel));
        var disable = ForBackend("disable", "Give a backend nothing any more.");
        Do(disable, (client, options, cancel) => ChangeAsync(client, options, new JsonObject { ["adminState"] = "Disabled" }, cancel));

        var number = new Argument<int>("N") { Description = "0 to 1000." };
        var weight = ForBackend("weight", "Set the weight of a backend.");
        weight.Arguments.Add(number);
        Do(weight, (client, options, cancel) =>
            ChangeAsync(client, options, new JsonObject { ["weight"] = options.GetValue(number) }, cancel));

        var reload = New("reload", "Apply the configuration file now, and say what is wrong with it.");
        Do(reload, ReloadAsync);

        var program = new Argument<string?>("PROGRAM")
        {
            Arity = ArgumentArity.ZeroOrOne,
            Description = "An executable, or a .dll for dotnet. The same program, as its file is now, where it is left out.",
        };
        var upgrade = New("upgrade", "Start the program anew and let it take over, without losing a connection.");
        upgrade.Arguments.Add(program);
        Do(upgrade, (client, options, cancel) => UpgradeAsync(client, options.GetValue(program), options, cancel), LongestUpgrade);

        var follow = new Option<bool>("--follow", "-f") { Description = "Go on with what comes." };
        var events = New("events", "Show what has changed lately: backends up and down, changes by operators, reloads.");
        events.Options.Add(follow);
        Do(events, (client, options, cancel) =>
            EventsView.PrintAsync(client, options.GetValue(follow), options.GetValue(_json), cancel));

        return [status, pools, drain, ready, disable, weight, reload, upgrade, events, Config()];
    }

    private Command New(string name, string description)
    {
        var command = new Command(name, description);
        address.AddTo(command);
        command.Options.Add(_json);
        return command;
    }

    private Command ForBackend(string name, string description)
    {
        var command = New(name, description);
        command.Arguments.Add(_backend);
        return command;
    }

    private void Do(
        Command command, Func<ManagementClient, ParseResult, CancellationToken, Task<int>> action, TimeSpan? silence = null) =>
        command.SetAction(async (options, cancel) =>
        {
            try
            {
                using var client = address.Connect(options, silence);
                return await action(client, options, cancel);
            }
            catch (CommandException e)
            {
                await Console.Error.WriteLineAsync(e.Message);
                return e.ExitCode;
            }
            catch (OperationCanceledException)
            {
                return 130; // Ctrl+C, as shells say it.
            }
        });

    private async Task<int> ChangeAsync(ManagementClient client, ParseResult options, JsonObject change, CancellationToken cancel)
    {
        var backend = await client.SendAsync(HttpMethod.Patch, PathOf(options), change, cancel);
        if (options.GetValue(_json))
        {
            Screen.Print(backend);
        }
        else
        {
            Console.WriteLine(
                $"{options.GetValue(_backend)} is {Screen.Text(backend["adminState"])}, weight {Screen.Text(backend["weight"])}, "
                + $"{Screen.Text(backend["inFlight"])} in flight");
        }
        return 0;
    }

    private async Task WaitAsync(ManagementClient client, ParseResult options, CancellationToken cancel)
    {
        while (true)
        {
            var backend = await client.SendAsync(HttpMethod.Get, PathOf(options), null, cancel);
            if (backend["inFlight"]?.GetValue<int>() == 0)
            {
                break;
            }
            if (backend["adminState"]?.ToString() == "Ready")
            {
                throw new CommandException(
                    CommandException.Refused, $"{options.GetValue(_backend)} is Ready again and gets work; something else has changed it");
            }
            await Task.Delay(WaitPoll, TimeProvider.System, cancel);
        }
        if (!options.GetValue(_json))
        {
            Console.WriteLine("nothing is in flight");
        }
    }

    private async Task<int> ReloadAsync(ManagementClient client, ParseResult options, CancellationToken cancel)
    {
        var result = await client.SendAsync(HttpMethod.Post, "/api/reload", null, cancel);
        var isApplied = result["applied"]?.GetValue<bool>() == true;
        return await ReportAsync(
            result, options, isApplied,
            isApplied ? "the configuration was applied" : "the configuration was not applied; nothing has changed");
    }

    private async Task<int> UpgradeAsync(ManagementClient client, string? program, ParseResult options, CancellationToken cancel)
    {
        var body = program is null ? null : new JsonObject { ["program"] = Path.GetFullPath(program) };
        var result = await client.SendAsync(HttpMethod.Post, "/api/upgrade", body, cancel);
        var isReplaced = result["replaced"]?.GetValue<bool>() == true;
        return await ReportAsync(
            result, options, isReplaced,
            isReplaced ? $"process {Screen.Text(result["process"])} serves now"
                : "nothing has changed: the process that served before goes on");
    }

    // What has become of something that the node has tried.
    private async Task<int> ReportAsync(JsonNode result, ParseResult options, bool isDone, string outcome)
    {
        if (options.GetValue(_json))
        {
            Screen.Print(result);
        }
        else
        {
            foreach (var warning in Texts(result["warnings"]))
            {
                Console.WriteLine($"warning: {warning}");
            }
            foreach (var error in Texts(result["errors"]))
            {
                await Console.Error.WriteLineAsync(error);
            }
            Console.WriteLine(outcome);
        }
        return isDone ? 0 : CommandException.Refused;
    }

    private static IEnumerable<string> Texts(JsonNode? list) => (list as JsonArray ?? []).Select(Screen.Text);

    private string PathOf(ParseResult options)
    {
        var text = options.GetValue(_backend)!;
        return text.Split('/', 2) is [{ Length: > 0 } pool, { Length: > 0 } backend]
            ? $"/api/pools/{Uri.EscapeDataString(pool)}/backends/{Uri.EscapeDataString(backend)}"
            : throw new CommandException(
                CommandException.Refused, $"'{text}' is not a backend; expected POOL/BACKEND, for example web/backend1");
    }
}
