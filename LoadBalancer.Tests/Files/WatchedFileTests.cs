using LoadBalancer.Files;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Files;

/// <summary>Files that are read again when they change.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class WatchedFileTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly FakeClock _clock = new();
    private readonly LogRecorder _log = new();

    public void Dispose()
    {
        _directory.Dispose();
        _log.Dispose();
    }

    [Test]
    public void Content_FileThatCannotBeReadForAWhile_IsReadAfterwards()
    {
        var path = _directory.File("file");
        File.WriteAllText(path, "old");
        using var file = new WatchedFile<string>(path, System.Text.Encoding.UTF8.GetString, _clock, _log);
        File.WriteAllText(path, "newer");

        using (new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.None))
        {
            _clock.Advance(TimeSpan.FromSeconds(6));
        }
        file.Content.Should().Be("old");
        _log.Lines.Should().ContainSingle(line => line.Contains("cannot be used"), "the same is said once");

        _clock.Advance(TimeSpan.FromSeconds(2));
        file.Content.Should().Be("newer", "it has not changed meanwhile, and was never read");
    }

    [Test]
    public void Content_FileThatIsNotValid_IsReadOnce()
    {
        var path = _directory.File("file");
        File.WriteAllText(path, "old");
        var readings = 0;
        using var file = new WatchedFile<string>(
            path, bytes => ++readings == 1 ? "old" : throw new FormatException("it is not valid"), _clock, _log);
        File.WriteAllText(path, "newer");

        _clock.Advance(TimeSpan.FromSeconds(6));

        readings.Should().Be(2);
        file.Content.Should().Be("old");
    }

    // As a volume of Kubernetes does it: file -> ..data/file, and ..data -> another directory.
    [Test]
    public void Content_LinkThatLeadsToAnotherFile_IsReadAgain()
    {
        var (path, data) = (_directory.File("file"), _directory.File("..data"));
        foreach (var name in new[] { "old", "newer" })
        {
            Directory.CreateDirectory(_directory.File(name));
            File.WriteAllText(Path.Combine(_directory.File(name), "file"), name);
        }
        Directory.CreateSymbolicLink(data, "old");
        File.CreateSymbolicLink(path, Path.Combine("..data", "file"));
        using var file = new WatchedFile<string>(path, System.Text.Encoding.UTF8.GetString, _clock, _log);

        Directory.Delete(data);
        Directory.CreateSymbolicLink(data, "newer");
        _clock.Advance(TimeSpan.FromSeconds(2));

        file.Content.Should().Be("newer");

        Directory.Delete(data);
        _clock.Advance(TimeSpan.FromSeconds(2));

        file.Content.Should().Be("newer");
        _log.Lines.Should().ContainSingle(line => line.Contains("cannot be used"));
    }
}
