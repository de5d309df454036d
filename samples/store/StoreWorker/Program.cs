using System.CommandLine;
using System.CommandLine.Invocation;
using System.Data.Common;
using Store;

var brokers = new BrokerOptions();
var postgres = new Option<string?>("--postgres") { Description = "The connection string of a PostgreSQL database; without one the products are in a file.", HelpName = "STRING" };
var database = new Option<string>("--database") { Description = "The file of the products (SQLite), which workers of one machine share.", HelpName = "FILE", DefaultValueFactory = _ => "store.db" };
var stock = new Option<int>("--stock") { Description = "How many units of each product there are, where there are no products yet.", HelpName = "N", DefaultValueFactory = _ => 10 };
var work = new Option<double>("--work") { Description = "How many seconds it pretends to work on each request.", HelpName = "S" };

var root = new RootCommand("Works for the store's load balancer: looks products up, and sells them.") { postgres, database, stock, work };
brokers.AddTo(root);
root.SetAction(async (parsed, cancellationToken) =>
{
    try
    {
        await using var store = await ProductStore.OpenAsync(parsed.GetValue(postgres), parsed.GetRequiredValue(database), parsed.GetValue(stock));
        await using var worker = new Worker(store, TimeSpan.FromSeconds(parsed.GetValue(work)), Console.WriteLine, TimeProvider.System);
        await using var follower = brokers.Follow(parsed, Console.WriteLine);
        Console.WriteLine($"works for the load balancer at {follower.Current}, with {(parsed.GetValue(postgres) is null ? "SQLite" : "PostgreSQL")}");
        await worker.RunAsync(follower, brokers.Ports(parsed), cancellationToken);
        return 0;
    }
    catch (DbException e)
    {
        Console.Error.WriteLine($"the database cannot be used: {e.Message}");
        return 1;
    }
    catch (OperationCanceledException)
    {
        return 0; // Ctrl+C
    }
});

var commandLine = root.Parse(args);
if (commandLine.Action is ParseErrorAction mistakes)
{
    mistakes.ShowHelp = false;
}
return await commandLine.InvokeAsync();
