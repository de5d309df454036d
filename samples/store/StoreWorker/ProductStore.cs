using System.Data.Common;
using System.Globalization;
using Microsoft.Data.Sqlite;
using Npgsql;

namespace Store;

/// <summary>
/// The products, in SQLite or PostgreSQL. Any number of workers share them. A purchase is one SQL statement, so that the last unit is sold
/// only once.
/// </summary>
internal sealed class ProductStore : IAsyncDisposable
{
    private static readonly (int Id, string Name, string Price, string Description)[] Assortment =
    [
        (1, "Lamp", "24.90", "Warm light for a desk"),
        (2, "Chair", "89.00", "Four legs, one back"),
        (3, "Notebook", "3.50", "80 pages, squared"),
        (4, "Kettle", "31.20", "1.7 litres, switches itself off"),
        (5, "Bicycle bell", "7.80", "Loud"),
    ];

    private readonly DbDataSource _database;

    private ProductStore(DbDataSource database) => _database = database;

    /// <summary>Opens the database, and fills it if it is new.</summary>
    /// <param name="postgres">The connection string of a PostgreSQL database; null for SQLite.</param>
    /// <param name="file">The file for SQLite.</param>
    /// <param name="stock">How many units of each product there are in a new database.</param>
    /// <exception cref="DbException">The database cannot be reached.</exception>
    public static async Task<ProductStore> OpenAsync(string? postgres, string file, int stock)
    {
        DbDataSource database = postgres is null
            ? SqliteFactory.Instance.CreateDataSource(new SqliteConnectionStringBuilder { DataSource = file }.ToString())
            : NpgsqlDataSource.Create(postgres);
        var store = new ProductStore(database);
        try
        {
            await store.CreateAsync(isShared: postgres is not null, stock);
            return store;
        }
        catch
        {
            await store.DisposeAsync();
            throw;
        }
    }

    /// <summary>Executes a command.</summary>
    /// <returns>The answer.</returns>
    /// <exception cref="DbException">The database failed.</exception>
    public async Task<string> AnswerAsync(string command)
    {
        var words = command.Split(' ', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        return words switch
        {
            ["PING"] => "PONG",
            ["LIST"] => await ListAsync(),
            ["QUERY", var id] => await QueryAsync(id),
            ["BUY", var id] => await BuyAsync(id),
            _ => "UNKNOWN COMMAND",
        };
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _database.DisposeAsync();

    private async Task<string> QueryAsync(string id)
    {
        const string Sql = "SELECT name, price, stock, description FROM products WHERE id = @id";
        return await OneAsync(Sql, id, row => $"{id} {row[0]}, {row[1]}, {row[2]} left: {row[3]}") ?? "NO SUCH PRODUCT";
    }

    // One statement compares the stock and reduces it: of two buyers of the last unit only one gets it.
    private async Task<string> BuyAsync(string id) =>
        await OneAsync(
            "UPDATE products SET stock = stock - 1 WHERE id = @id AND stock > 0 RETURNING name, stock",
            id,
            row => $"BOUGHT {id} {row[0]}, {row[1]} left")
        ?? await OneAsync("SELECT 1 FROM products WHERE id = @id", id, _ => "SOLD OUT")
        ?? "NO SUCH PRODUCT";

    private async Task<string> ListAsync()
    {
        await using var connection = await _database.OpenConnectionAsync();
        await using var command = connection.CreateCommand();
        command.CommandText = "SELECT id, name, stock FROM products ORDER BY id";
        await using var reader = await command.ExecuteReaderAsync();
        var lines = new List<string>();
        while (await reader.ReadAsync())
        {
            lines.Add($"{reader[0]} {reader[1]}: {reader[2]} left");
        }
        return string.Join('\n', lines);
    }

    private async Task<string?> OneAsync(string sql, string id, Func<DbDataReader, string> text)
    {
        if (!int.TryParse(id, NumberStyles.None, CultureInfo.InvariantCulture, out var number))
        {
            return null;
        }
        await using var connection = await _database.OpenConnectionAsync();
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        Add(command, "id", number);
        await using var reader = await command.ExecuteReaderAsync();
        return await reader.ReadAsync() ? text(reader) : null;
    }

    private async Task CreateAsync(bool isShared, int stock)
    {
        await using var connection = await _database.OpenConnectionAsync();
        if (!isShared)
        {
            await ExecuteAsync(connection, "PRAGMA journal_mode = WAL"); // Readers and a writer do not wait for each other.
        }
        await using var transaction = await connection.BeginTransactionAsync();
        if (isShared)
        {
            // CREATE … IF NOT EXISTS can fail when two workers execute it at once.
            await ExecuteAsync(connection, "SELECT pg_advisory_xact_lock(5550)");
        }
        await ExecuteAsync(connection, """
            CREATE TABLE IF NOT EXISTS products (
              id INTEGER PRIMARY KEY, name TEXT NOT NULL, price TEXT NOT NULL, stock INTEGER NOT NULL CHECK (stock >= 0),
              description TEXT NOT NULL)
            """);
        foreach (var (id, name, price, description) in Assortment)
        {
            await ExecuteAsync(
                connection,
                """
                INSERT INTO products (id, name, price, stock, description) VALUES (@id, @name, @price, @stock, @description)
                ON CONFLICT (id) DO NOTHING
                """,
                ("id", id), ("name", name), ("price", price), ("stock", stock), ("description", description));
        }
        await transaction.CommitAsync();
    }

    private static async Task ExecuteAsync(DbConnection connection, string sql, params (string Name, object Value)[] parameters)
    {
        await using var command = connection.CreateCommand();
        command.CommandText = sql;
        foreach (var (name, value) in parameters)
        {
            Add(command, name, value);
        }
        await command.ExecuteNonQueryAsync();
    }

    private static void Add(DbCommand command, string name, object value)
    {
        var parameter = command.CreateParameter();
        (parameter.ParameterName, parameter.Value) = (name, value);
        command.Parameters.Add(parameter);
    }
}
