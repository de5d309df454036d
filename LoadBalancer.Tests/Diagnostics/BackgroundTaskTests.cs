using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using LoadBalancer.Diagnostics;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Diagnostics;

[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed partial class BackgroundTaskTests : IDisposable
{
    private readonly LogRecorder _log = new();
    private readonly TaskCompletionSource _work = new(); // continues on the thread that completes it

    public void Dispose() => _log.Dispose();

    [Test]
    public void Run_UnexpectedError_IsLoggedWithWhatWasDone()
    {
        BackgroundTask.Run(_work.Task, _log, "pool 'web': probing backend 'a'");

        _work.SetException(new InvalidOperationException("it broke"));

        _log.Lines.Should().ContainSingle().Which.Should()
            .StartWith("Error: pool 'web': probing backend 'a' has ended with an unexpected error").And.Contain("it broke");
    }

    [Test]
    public void Run_FailedAlready_IsLogged()
    {
        _work.SetException(new InvalidOperationException("it broke"));

        BackgroundTask.Run(_work.Task, _log, "probing");

        _log.Lines.Should().ContainSingle().Which.Should().Contain("it broke");
    }

    [Test]
    public void Run_Cancelled_LogsNothing()
    {
        BackgroundTask.Run(_work.Task, _log, "probing");

        _work.SetCanceled();

        _log.Lines.Should().BeEmpty();
    }

    [Test]
    public void Run_Succeeds_LogsNothing()
    {
        BackgroundTask.Run(_work.Task, _log, "probing");

        _work.SetResult();

        _log.Lines.Should().BeEmpty();
    }

    [Test]
    public void Product_Always_DiscardsNoTaskElsewhere()
    {
        var sources = Directory.EnumerateFiles(Path.Combine(Repository.Root, "LoadBalancer"), "*.cs", SearchOption.AllDirectories)
            .Where(file => !file.Contains($"{Path.DirectorySeparatorChar}obj{Path.DirectorySeparatorChar}", StringComparison.Ordinal))
            .ToDictionary(file => Path.GetRelativePath(Repository.Root, file), File.ReadAllLines);

        var discards = sources.SelectMany(
            source => source.Value.Where(line => Discard().IsMatch(line)).Select(line => $"{source.Key}: {line.Trim()}"));

        sources.Should().NotBeEmpty();
        discards.Should().ContainSingle("only the helper itself may").Which.Should().Contain("BackgroundTask.cs: _ = ObserveAsync(");
    }

    [Test]
    public void Product_Always_HasNoAsyncVoid() =>
        typeof(BackgroundTask).Assembly.GetTypes()
            .SelectMany(type => type.GetMethods(
                BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly))
            .Where(method => method.ReturnType == typeof(void) && method.IsDefined(typeof(AsyncStateMachineAttribute)))
            .Select(method => $"{method.DeclaringType}.{method.Name}").Should().BeEmpty();

    [GeneratedRegex(@"\b_ = [\w.!?()\[\]]*Async\(")]
    private static partial Regex Discard();
}
