using System.Net.Sockets;

namespace Worker;

/// <summary>The connection to the load balancer: registers, works on the tasks that it is given, and sends the results.</summary>
internal sealed class BalancerConnection(string name, string host, int port, int capacity, bool quiet)
{
    /// <summary>Works until the connection ends.</summary>
    /// <exception cref="SocketException">The load balancer cannot be reached, or the connection was lost.</exception>
    /// <exception cref="IOException">The connection was lost.</exception>
    public async Task WorkAsync(Func<string, (string Result, string Remark)> process, CancellationToken cancellationToken)
    {
        using var client = new TcpClient { NoDelay = true };
        await client.ConnectAsync(host, port, cancellationToken);
        Print($"Conectado al balanceador en {host}:{port}");
        var stream = client.GetStream();
        using var reader = new StreamReader(stream);
        await using var writer = new StreamWriter(stream) { NewLine = "\n" };
        await using var closing = cancellationToken.Register(client.Dispose);
        try
        {
            await writer.WriteLineAsync(capacity == 1 ? $"REGISTER|{name}" : $"REGISTER|{name}|{capacity}");
            await writer.FlushAsync(cancellationToken);
            Print("Registrado como disponible");
            while (await reader.ReadLineAsync(cancellationToken) is { } line)
            {
                Take(line, writer, process);
                // All tasks that have arrived are answered with one packet. The rest of their data may be in the reader's buffer already.
                while (stream.DataAvailable && await reader.ReadLineAsync(cancellationToken) is { } next)
                {
                    Take(next, writer, process);
                }
                await writer.FlushAsync(cancellationToken);
            }
        }
        catch (Exception e) when (cancellationToken.IsCancellationRequested
            && e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // The process was told to stop.
        }
    }

    /// <summary>Prints a line with the worker's name in front.</summary>
    public void Print(string text) => Console.WriteLine($"[WORKER {name}] {text}");

    private void Take(string line, StreamWriter writer, Func<string, (string Result, string Remark)> process)
    {
        switch (line.Split('|', 3))
        {
            case ["ACK", ..]:
                Print("Registro confirmado por balanceador");
                Print("Listo para procesar tareas");
                break;
            case ["ASSIGN_TASK", var id, var data]:
                PrintTask($"Tarea recibida: {id}, datos: {data}");
                var (result, remark) = process(data);
                PrintTask($"Tarea procesada: {remark}");
                writer.WriteLine($"TASK_RESULT|{id}|{result}");
                PrintTask($"Resultado enviado para tarea {id}");
                break;
            default:
                Print($"El balanceador dice: {line}");
                break;
        }
    }

    private void PrintTask(string text)
    {
        if (!quiet)
        {
            Print(text);
        }
    }
}
