using System.Diagnostics;
using LoadBalancer.Tests.EndToEnd;
using LoadBalancer.Tests.Support;
using Win32Exception = System.ComponentModel.Win32Exception;

namespace LoadBalancer.Tests.Samples;

/// <summary>The tasks system of samples/, with its real programs.</summary>
[Category("Program")]
internal sealed class TasksTests
{
    private const string Sample = "samples/tasks/";

    private readonly int[] _ports = [ReservedPorts.Next(), ReservedPorts.Next(), ReservedPorts.Next()];
    private ProgramUnderTest _balancer = null!;

    private static string Configuration =>
        Path.Combine(AppContext.BaseDirectory.Split("LoadBalancer.Tests")[0], Sample, "loadbalancer.json");

    [SetUp]
    public async Task StartBalancer() => _balancer = await ProgramUnderTest.StartAsync(
        "LoadBalancer", "--config", Configuration, $"--LoadBalancer:Listeners:tasks:Address=tcp://127.0.0.1:{_ports[0]}",
        $"--LoadBalancer:Listeners:tasks:WorkerAddress=tcp://127.0.0.1:{_ports[1]}",
            $"--LoadBalancer:Management:Address=http://127.0.0.1:{_ports[2]}");

    [TearDown]
    public async Task StopBalancer() => await _balancer.DisposeAsync();

    [Test]
    public async Task Client_ThreeTasks_HaveTheSumsAndBothSayWhatTheySee()
    {
        await using var worker = ProgramUnderTest.Start(Sample + "Worker", "--name", "w1", "--port", $"{_ports[1]}");

        var (exitCode, output, errors) = await RunClientAsync();

        (exitCode, errors).Should().Be((0, ""));
        output.Should().MatchRegex(@"\[CLIENT\] Enviando tarea task_\w+: 1,2,3,4,5")
            .And.MatchRegex(@"\[CLIENT\] Resultado recibido para tarea task_\w+: 15\n").And.Contain(": 60").And.Contain(": 1000");
        await Eventually.BeTrueAsync(() =>
            worker.Output.Count(line => line.Contains("Resultado enviado", StringComparison.Ordinal)) == 3, "it has said so");
        string.Join('\n', worker.Output).Should().ContainAll(
            $"[WORKER w1] Conectado al balanceador en 127.0.0.1:{_ports[1]}", "[WORKER w1] Registrado como disponible",
                "[WORKER w1] Registro confirmado por balanceador",
            "[WORKER w1] Listo para procesar tareas", ", datos: 1,2,3,4,5", "[WORKER w1] Tarea procesada: suma de [1, 2, 3, 4, 5] = 15");
    }

    [Test]
    public async Task Client_RandomTasksWhileAWorkerIsKilled_AreAllRight()
    {
        await using var doomed =
            ProgramUnderTest.Start(Sample + "Worker", "--name", "doomed", "--port", $"{_ports[1]}", "--capacity", "4", "--quiet");
        await using var worker =
            ProgramUnderTest.Start(Sample + "Worker", "--name", "w2", "--port", $"{_ports[1]}", "--capacity", "4", "--quiet");
        await Eventually.BeTrueAsync(() =>
            _balancer.Output.Count(line => line.Contains("has registered", StringComparison.Ordinal)) == 2, "both have registered");

        var running = RunClientAsync("--random", "20000");
        await Eventually.BeTrueAsync(async () => (await MetricAsync("loadbalancer_task_run_seconds_count")) > 1000, "it is under way");
        await doomed.KillAsync();

        var (exitCode, output, errors) = await running;
        (exitCode, errors).Should().Be((0, ""));
        output.Should().ContainAll("20000 tasks to ", "results  20000 right, 0 wrong");
        (await MetricAsync("loadbalancer_queue_length")).Should().Be(0);
        (await MetricAsync("loadbalancer_task_wait_seconds_count")).Should().Be(20000);
    }

    [Test]
    public async Task Client_FileOfTasks_TellsWhatIsNoSum()
    {
        await using var worker = ProgramUnderTest.Start(Sample + "Worker", "--port", $"{_ports[1]}");
        var file = Path.GetTempFileName();
        await File.WriteAllLinesAsync(file, ["1,2", "", "x"]);

        var (exitCode, output, _) = await RunClientAsync("--file", file);

        File.Delete(file);
        exitCode.Should().Be(1);
        output.Should().Contain(": 3").And.Contain(": 0").And.Contain(": ERROR: 'x' is not a whole number");
    }

    [Test]
    public async Task Worker_OfTheDocumentation_InPython_Works()
    {
        var documentation = await File.ReadAllTextAsync(
            Path.Combine(AppContext.BaseDirectory.Split("LoadBalancer.Tests")[0], "docs/tasks.md"));
        var program = documentation.Split("```python\n")[1].Split("```")[0].Replace("8889", $"{_ports[1]}", StringComparison.Ordinal);
        using var python = StartPython(program);

        var (exitCode, output, errors) = await RunClientAsync();

        python.Kill();
        (exitCode, errors).Should().Be((0, ""));
        output.Should().ContainAll(": 15", ": 60", ": 1000");
    }

    [Test]
    public async Task Management_OfAPoolOfWorkers_DrainsThemAndAddsNone()
    {
        using var worker = await LinePeer.ConnectAsync(_ports[1]);
        await worker.SendAsync("REGISTER|w1|4");
        (await worker.ReadAsync()).Should().Be("ACK|w1");
        using var http = new HttpClient { BaseAddress = new Uri($"http://127.0.0.1:{_ports[2]}") };
        await Eventually.BeTrueAsync(async () =>
            (await http.GetStringAsync("/api/pools")).Contains("\"name\":\"w1\"", StringComparison.Ordinal), "it is a backend");

        using var put = await http.PutAsync("/api/pools/tasks/backends/w2", new StringContent("""{"address":"tcp://127.0.0.1:1"}"""));
        ((int)put.StatusCode, (await put.Content.ReadAsStringAsync()).TrimEnd()).Should().Be(
            (400, "the backends of pool 'tasks' are workers that join it by themselves; expected another pool, or a worker that " +
                "registers as 'w2'"));
        (await http.DeleteAsync("/api/pools/tasks/backends/w1")).IsSuccessStatusCode.Should().BeTrue();

        (await worker.ReadAsync(2)).Should().Equal("ERROR|an operator has removed this worker", null);
    }

    [Test]
    public async Task Check_ConfigurationOfTheSample_IsValid() =>
        (await ProgramUnderTest.RunAsync("LoadBalancer", "check", "--config", Configuration))
        .Should().Be((0, "configuration is valid", ""));

    private static Process StartPython(string program)
    {
        try
        {
            return Process.Start("python3", ["-c", program]);
        }
        catch (Win32Exception)
        {
            Assert.Ignore("there is no python3 here");
            throw;
        }
    }

    private Task<(int ExitCode, string Output, string Errors)> RunClientAsync(params string[] args) =>
        ProgramUnderTest.RunAsync(Sample + "Client", ["--port", $"{_ports[0]}", .. args]);

    private async Task<double> MetricAsync(string name)
    {
        using var http = new HttpClient();
        var metrics = await http.GetStringAsync($"http://127.0.0.1:{_ports[2]}/metrics");
        return double.Parse(metrics.Split('\n').Single(line => line.StartsWith(name + "{", StringComparison.Ordinal))
            .Split(' ')[^1], System.Globalization.CultureInfo.InvariantCulture);
    }
}
