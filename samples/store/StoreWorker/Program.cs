using System.CommandLine;
using System.Data.Common;
using Samples;
using Store;

var brokers = new BrokerOptions();
var postgres = new Option<string?>("--postgres")
{
    Description = "The connection string of a PostgreSQL database; without it the products are in a file.",
    HelpName = "STRING",
};
var database = CommandLine.Text("--database", "FILE", "The SQLite file of the products, which the workers of a machine share.", "store.db");
var stock = CommandLine.Number("--stock", "How many units of each product a new database contains.", defaultValue: 10, most: 1_000_000);
var work = CommandLine.Seconds("--work", "How many seconds it pretends to work on each request.");

var command = new RootCommand("A worker of the store: answers questions about products, and sells them.")
{
    postgres, database, stock, work,
};
brokers.AddTo(command);
return await CommandLine.RunAsync(command, args, async (options, stop) =>
{
    try
    {
        var connection = options.GetValue(postgres);
        await using var store = await ProductStore.OpenAsync(connection, options.GetRequiredValue(database), options.GetValue(stock));
        await using var worker = new Worker(store, TimeSpan.FromSeconds(options.GetValue(work)), Console.WriteLine, TimeProvider.System);
        await using var follower = brokers.Follow(options, Console.WriteLine);
        Console.WriteLine($"works for the load balancer at {follower.Current}, with {(connection is null ? "SQLite" : "PostgreSQL")}");
        await worker.RunAsync(follower, brokers.Ports(options), stop);
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
