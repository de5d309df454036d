using LoadBalancer.Diagnostics;
using LoadBalancer.Management;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Management;

[Parallelizable]
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class AuditFileTests : IDisposable
{
    private readonly TemporaryDirectory _folder = new();
    private readonly LogRecorder _log = new();

    private string Path => _folder.File("audit.log");

    public void Dispose()
    {
        _log.Dispose();
        _folder.Dispose();
    }

    [Test]
    public async Task Append_Always_IsALineThatCanBeReadAgain()
    {
        var entry = Entry(1) with { Error = "line\nbreak, \"quotes\" and ü" };
        await new AuditFile(Path, _log).AppendAsync(entry);

        (await File.ReadAllLinesAsync(Path)).Should().ContainSingle();
        new AuditFile(Path, _log).Read().Should().Equal(entry);
    }

    [Test]
    public async Task Append_FileIsFull_GoesOnInAnotherAndKeepsOneBefore()
    {
        var file = new AuditFile(Path, _log);
        var error = new string('x', AuditFile.MostBytes / 4);

        for (var id = 1; id <= 8; id++)
        {
            await file.AppendAsync(Entry(id) with { Error = error });
        }

        new FileInfo(Path).Length.Should().BeLessThan(AuditFile.MostBytes);
        new FileInfo(Path + ".1").Length.Should().BeLessThan(AuditFile.MostBytes);
        file.Read().Select(entry => entry.Id).Should().Equal(4, 5, 6, 7, 8);
    }

    [Test]
    public async Task Read_LinesThatWereCut_AreLeftOutAndTheNextEntryBeginsALine()
    {
        var file = new AuditFile(Path, _log);
        await file.AppendAsync(Entry(1));
        await File.AppendAllTextAsync(Path, "{}\n[1]\nnonsense\n\n{\"id\":2,\"ti");

        var other = new AuditFile(Path, _log);
        other.Read().Select(entry => entry.Id).Should().Equal(1);
        await other.AppendAsync(Entry(3));

        other.Read().Select(entry => entry.Id).Should().Equal(1, 3);
    }

    [TestCase("{\"id\":1,\"id\":2}")]
    [TestCase("{\"id\":1,\"time\":\"\\ud800\"}")]
    [TestCase("{\"id\":1e99}")]
    [TestCase("{\"id\":99999999999999999999}")]
    [TestCase("\0\0\0")]
    public async Task Read_OddLine_IsLeftOut(string line)
    {
        await File.WriteAllTextAsync(Path, line + "\n");
        var file = new AuditFile(Path, _log);
        await file.AppendAsync(Entry(3));

        file.Read().Select(entry => entry.Id).Should().Equal(3);
    }

    [Test]
    public async Task Read_FileIsHuge_IsItsEnd()
    {
        await File.WriteAllTextAsync(Path + ".1", new string('x', 3 * AuditFile.MostBytes) + "\n" + JsonText.Of(Entry(1).ToJson()) + "\n");
        await using (var file = File.Create(Path))
        {
            file.SetLength(1L << 40); // with a hole: it is larger than any memory
        }

        new AuditFile(Path, _log).Read().Select(entry => entry.Id).Should().Equal(1);
    }

    [Test]
    [Platform("Linux")]
    public async Task Read_FileIsAPipe_DoesNotWait()
    {
        using var mkfifo = System.Diagnostics.Process.Start("mkfifo", [Path]);
        await mkfifo.WaitForExitAsync();

        new AuditFile(Path, _log).Read().Should().BeEmpty();

        _log.Lines.Should().BeEmpty();
    }

    [Test]
    [Platform("Linux")]
    public void Read_FileIsALink_IsWhatItStandsFor()
    {
        File.WriteAllText(_folder.File("other"), JsonText.Of(Entry(1).ToJson()) + "\n");
        File.CreateSymbolicLink(Path, "other");

        new AuditFile(Path, _log).Read().Select(entry => entry.Id).Should().Equal(1);
    }

    [Test]
    [Platform("Linux")]
    public async Task Append_DiskIsFull_IsOneLineInTheLogAndNothingIsLost()
    {
        File.CreateSymbolicLink(Path, "/dev/full");
        var file = new AuditFile(Path, _log);

        await file.AppendAsync(Entry(1));
        await file.AppendAsync(Entry(2));
        File.Delete(Path);
        await file.AppendAsync(Entry(3));

        file.Read().Select(entry => entry.Id).Should().Equal(1, 2, 3);
        _log.Lines.Should().HaveCount(2);
        _log.Lines.First().Should().StartWith($"Error: management: the audit file '{Path}' cannot be written: ")
            .And.EndWith("; changes go on, and the last 1000 entries are written later");
        _log.Lines.Last().Should().Be($"Information: management: the audit file '{Path}' can be written again; 3 entries were added");
    }

    [Test]
    public async Task Append_ManyAtOnce_AreAllThere()
    {
        var file = new AuditFile(Path, _log);

        await Task.WhenAll(Enumerable.Range(1, 200).Select(id => Task.Run(() => file.AppendAsync(Entry(id)))));

        await Eventually.BeTrueAsync(() => file.Read().Count == 200, "all are there");
        file.Read().Select(entry => entry.Id).Should().OnlyHaveUniqueItems();
    }

    private static AuditEntry Entry(long id) =>
        new("ci", "127.0.0.1", AuditAction.Patch, "web", "b1") { Id = id, Time = "2026-11-30T00:00:00.000Z" };
}
