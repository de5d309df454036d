namespace Client;

/// <summary>Sends given tasks and tells of each.</summary>
internal static class ListedTasks
{
    /// <summary>Sends them, and waits for all results.</summary>
    /// <returns>Whether each had a result that is no error.</returns>
    public static async Task<bool> RunAsync(BalancerConnection connection, IReadOnlyList<string> tasks, int outstanding, CancellationToken cancellationToken)
    {
        Console.WriteLine($"[CLIENT] Conectado al balanceador en {connection.Where}");
        using var room = new SemaphoreSlim(outstanding);
        var run = Guid.NewGuid().ToString("N")[..6];
        var sending = SendAsync();
        var good = true;
        for (var i = 0; i < tasks.Count; i++)
        {
            var (id, result) = await connection.ReadAsync(cancellationToken);
            room.Release();
            Console.WriteLine($"[CLIENT] Resultado recibido para tarea {id}: {result}");
            good &= !result.StartsWith("ERROR", StringComparison.Ordinal);
        }
        await sending;
        return good;

        async Task SendAsync()
        {
            for (var i = 0; i < tasks.Count; i++)
            {
                await room.WaitAsync(cancellationToken);
                Console.WriteLine($"[CLIENT] Enviando tarea task_{run}{i}: {tasks[i]}");
                await connection.SendAsync($"task_{run}{i}", tasks[i]);
                await connection.FlushAsync();
            }
        }
    }
}
