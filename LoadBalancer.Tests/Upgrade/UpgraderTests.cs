using System.Globalization;
using System.Runtime.Versioning;
using LoadBalancer.Tests.Support;
using LoadBalancer.Upgrade;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Upgrade;

/// <summary>An upgrade whose new process is a script.</summary>
[Platform("Linux")]
[SupportedOSPlatform("linux")]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class UpgraderTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly FakeTimeProvider _clock = new();
    private readonly CancellationTokenSource _stopping = new();
    private readonly Upgrader _upgrader;
    private bool _hasLeft;
    private bool _isChanging;
    private int _goneOn;

    public UpgraderTests() => _upgrader = new Upgrader(
        new StartCommand("/nowhere/loadbalancer", [], ["--config", "a b"]),
        () => new HandoverOffer([], new HandedState()),
        () =>
        {
            _hasLeft = true;
            return Task.CompletedTask;
        },
        () => _isChanging, _clock, NullLogger<Upgrader>.Instance, _stopping.Token)
    {
        GoOn = () => _goneOn++,
    };

    [Test]
    public async Task Run_NeverReady_IsKilledAfter30Seconds()
    {
        var (run, process) = await StartSleeperAsync();

        _clock.Advance(Upgrader.Longest - TimeSpan.FromMilliseconds(1));
        run.IsCompleted.Should().BeFalse();
        _clock.Advance(TimeSpan.FromMilliseconds(1));

        (await run).Errors.Should().Equal("the new process was not ready within 30 s");
        await Upgrades.EndedAsync(process);
        (_hasLeft, _upgrader.IsUnderWay, _upgrader.Replaced.IsCompleted).Should().Be((false, false, false));
        _goneOn.Should().Be(1);
    }

    [Test]
    public async Task Run_ToldToStopMeanwhile_EndsTheNewProcess()
    {
        var (run, process) = await StartSleeperAsync();

        await _stopping.CancelAsync();

        (await run).Errors.Should().Equal("this process was told to stop");
        await Upgrades.EndedAsync(process);
    }

    [Test]
    public async Task Run_AnotherIsUnderWay_IsRefused()
    {
        var (run, _) = await StartSleeperAsync();

        var second = await _upgrader.RunAsync(Script("second", "exit 0"));

        (second.IsRefused, second.Errors.Single()).Should().Be((true, "another upgrade is under way"));
        _upgrader.IsUnderWay.Should().BeTrue();
        await _stopping.CancelAsync();
        await run;
    }

    [Test]
    public async Task Run_AListenerWaitsForTheEndOfAnother_IsRefused()
    {
        _isChanging = true;

        var result = await _upgrader.RunAsync(Script("any", "exit 0"));

        result.IsRefused.Should().BeTrue();
        result.Errors.Single().Should().StartWith("the last change of the configuration is not complete: a listener waits");
        _upgrader.IsUnderWay.Should().BeFalse();
    }

    [Test]
    public async Task Run_ProgramThatIsNotThere_SaysSo()
    {
        var result = await _upgrader.RunAsync(null);

        result.IsRefused.Should().BeFalse();
        result.Errors.Single().Should().StartWith("'/nowhere/loadbalancer' cannot be started: ");
    }

    [Test]
    public async Task Run_Always_HandsArgumentsAndEnvironmentOn()
    {
        var seen = _directory.File("seen");

        var result = await _upgrader.RunAsync(Script("shows", $"printf '%s|' \"$@\" > {seen}; echo \"${Predecessor.Variable}\" >> {seen}"));

        result.Errors.Single().Should().StartWith("the new process has ended with exit code 0 before it was ready");
        (await File.ReadAllTextAsync(seen)).Should().MatchRegex(@"^--config\|a b\|\d+\n$");
    }

    [Test]
    public async Task Run_ClosesTheConnection_IsEnded()
    {
        var program = Script("closes", $"eval \"exec ${Predecessor.Variable}>&-\"; exec sleep 100");
        var run = _upgrader.RunAsync(program);

        await Eventually.BeDoneAsync(run, _clock, TimeSpan.FromMilliseconds(100), "it is given up");

        (await run).Errors.Single().Should().StartWith("the new process has closed its connection to this one");
    }

    [TestCase("relative", "'relative' is not an absolute path; expected for example /usr/bin/loadbalancer")]
    [TestCase("/nowhere/other", "there is no file '/nowhere/other'")]
    public async Task Run_WrongPath_IsRefused(string program, string reason)
    {
        var result = await _upgrader.RunAsync(program);

        (result.IsRefused, result.Errors.Single()).Should().Be((true, reason));
    }

    [Test]
    public async Task Run_FileThatOthersMayWrite_IsRefused()
    {
        var program = Script("open", "exit 0");
        File.SetUnixFileMode(program, File.GetUnixFileMode(program) | UnixFileMode.OtherWrite);

        var result = await _upgrader.RunAsync(program);

        (result.IsRefused, result.Errors.Single()).Should().Be(
            (true, $"others may write '{program}'; expected a file that only its owner may write (chmod go-w)"));
    }

    public void Dispose()
    {
        _stopping.Dispose();
        _directory.Dispose();
    }

    private async Task<(Task<UpgradeResult> Run, int Process)> StartSleeperAsync()
    {
        var pid = _directory.File("pid");
        var run = _upgrader.RunAsync(Script("sleeper", $"echo $$ > {pid}.new; mv {pid}.new {pid}; exec sleep 100"));
        await Eventually.BeTrueAsync(() => File.Exists(pid), "it runs");
        return (run, int.Parse(await File.ReadAllTextAsync(pid), CultureInfo.InvariantCulture));
    }

    private string Script(string name, string text)
    {
        var path = _directory.File(name);
        File.WriteAllText(path, "#!/usr/bin/env bash\n" + text + "\n");
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserExecute);
        return path;
    }
}
