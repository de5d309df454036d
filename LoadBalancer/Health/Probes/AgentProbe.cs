using System.Net.Sockets;
using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Pools;
using LoadBalancer.Transport;

namespace LoadBalancer.Health.Probes;

/// <summary>
/// Asks the agent of a backend, as <c>agent-check</c> of HAProxy does: connects to its port, sends a text where one is configured, and
/// reads one line. An agent that cannot be reached, or says nothing, is a failed probe: no other probe would show that the machine is gone.
/// </summary>
/// <param name="options">The pool's health check.</param>
/// <param name="time">The clock of the time-out.</param>
internal sealed class AgentProbe(HealthCheckOptions options, TimeProvider time) : IProbe
{
    // What is after it is not looked at.
    private const int MaxLine = 1024;

    private readonly byte[] _question = Encoding.UTF8.GetBytes(options.Send ?? "");

    /// <inheritdoc/>
    public async Task<ProbeResult?> ProbeAsync(Backend backend, CancellationToken cancellationToken)
    {
        var result = await IProbe.InTimeAsync(token => AskAsync(backend, token), options.Timeout, time, cancellationToken);
        // What it has said before holds until it says something else.
        return result is { } found ? found with { Agent = found.Agent ?? backend.Agent } : null;
    }

    private async Task<ProbeResult> AskAsync(Backend backend, CancellationToken cancellationToken)
    {
        using var socket = await Connector.OpenSocketAsync(IProbe.AddressOf(backend, options), backend.Hosts, cancellationToken);
        if (_question.Length > 0)
        {
            await socket.SendAsync(_question, cancellationToken);
        }
        var line = await ReadLineAsync(socket, cancellationToken);
        if (line.Length == 0)
        {
            return new ProbeResult(false, "its agent said nothing");
        }
        var (report, isCertain) = AgentLine.Read(line, backend.Agent);
        return new ProbeResult(report.Down is null, $"its agent says '{AgentLine.Shown(line)}'") { Agent = report, IsCertain = isCertain };
    }

    private static async Task<string> ReadLineAsync(Socket socket, CancellationToken cancellationToken)
    {
        var (buffer, count) = (new byte[MaxLine], 0);
        while (count < buffer.Length && !buffer.AsSpan(0, count).Contains((byte)'\n'))
        {
            var received = await socket.ReceiveAsync(buffer.AsMemory(count), cancellationToken);
            if (received == 0)
            {
                break; // The end of the line may be missing.
            }
            count += received;
        }
        var end = buffer.AsSpan(0, count).IndexOf((byte)'\n');
        return Encoding.Latin1.GetString(buffer, 0, end < 0 ? count : end).Trim();
    }
}
