using System.Net.Sockets;

namespace Worker;

/// <summary>The connection to the load balancer: registers, works on as many tasks at once as it is said to, and answers each.</summary>
internal sealed class BalancerConnection(string name, string host, int port, int capacity, bool quiet)
{
    /// <summary>Works until the connection ends.</summary>
    /// <exception cref="SocketException">Nobody is there, or the connection was lost.</exception>
    /// <exception cref="IOException">It was lost.</exception>
    public async Task WorkAsync(Func<string, (string Result, string Remark)> process, CancellationToken cancellationToken)
    {
        using var client = new TcpClient { NoDelay = true };
        await client.ConnectAsync(host, port, cancellationToken);
        Say($"Conectado al balanceador en {host}:{port}");
        var stream = client.GetStream();
        using var reader = new StreamReader(stream);
        await using var writer = new StreamWriter(stream) { NewLine = "\n" };
        await using var closing = cancellationToken.Register(client.Dispose);
        try
        {
            await writer.WriteLineAsync(capacity == 1 ? $"REGISTER|{name}" : $"REGISTER|{name}|{capacity}");
            await writer.FlushAsync(cancellationToken);
            Say("Registrado como disponible");
            while (await reader.ReadLineAsync(cancellationToken) is { } line)
            {
                Take(line, writer, process);
                // What has come is worked on together, and answered together: the rest of it is in the reader already.
                while (stream.DataAvailable && await reader.ReadLineAsync(cancellationToken) is { } next)
                {
                    Take(next, writer, process);
                }
                await writer.FlushAsync(cancellationToken);
            }
        }
        catch (Exception e) when (cancellationToken.IsCancellationRequested && e is IOException or OperationCanceledException or ObjectDisposedException)
        {
            // It was told to stop.
        }
    }

    /// <summary>Writes a line for people.</summary>
    public void Say(string text) => Console.WriteLine($"[WORKER {name}] {text}");

    private void Take(string line, StreamWriter writer, Func<string, (string Result, string Remark)> process)
    {
        switch (line.Split('|', 3))
        {
            case ["ACK", ..]:
                Say("Registro confirmado por balanceador");
                Say("Listo para procesar tareas");
                break;
            case ["ASSIGN_TASK", var id, var data]:
                SayOfTask($"Tarea recibida: {id}, datos: {data}");
                var (result, remark) = process(data);
                SayOfTask($"Tarea procesada: {remark}");
                writer.WriteLine($"TASK_RESULT|{id}|{result}");
                SayOfTask($"Resultado enviado para tarea {id}");
                break;
            default:
                Say($"El balanceador dice: {line}");
                break;
        }
    }

    private void SayOfTask(string text)
    {
        if (!quiet)
        {
            Say(text);
        }
    }
}
