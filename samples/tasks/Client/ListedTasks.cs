namespace Client;

/// <summary>Sends given tasks and prints a line about each.</summary>
internal static class ListedTasks
{
    /// <summary>Sends them, and waits for all results.</summary>
    /// <returns>Whether no result is an error.</returns>
    public static async Task<bool> RunAsync(
        BalancerConnection connection, IReadOnlyList<string> tasks, int outstanding, CancellationToken cancellationToken)
    {
        Console.WriteLine($"[CLIENT] Conectado al balanceador en {connection.Address}");
        using var slots = new SemaphoreSlim(outstanding);
        var run = Guid.NewGuid().ToString("N")[..6]; // makes the ids unique among all clients
        var sending = SendAsync();
        var good = true;
        for (var i = 0; i < tasks.Count; i++)
        {
            var (id, result) = await connection.ReadAsync(cancellationToken);
            slots.Release();
            Console.WriteLine($"[CLIENT] Resultado recibido para tarea {id}: {result}");
            good &= !result.StartsWith("ERROR", StringComparison.Ordinal);
        }
        await sending;
        return good;

        async Task SendAsync()
        {
            for (var i = 0; i < tasks.Count; i++)
            {
                await slots.WaitAsync(cancellationToken);
                Console.WriteLine($"[CLIENT] Enviando tarea task_{run}{i}: {tasks[i]}");
                await connection.SendAsync($"task_{run}{i}", tasks[i]);
                await connection.FlushAsync();
            }
        }
    }
}
