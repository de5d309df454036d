using System.Collections.Immutable;
using LoadBalancer.Cluster;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Cluster;

/// <summary>The copy on disk of what a node knows.</summary>
[Parallelizable]
internal sealed class StateFileTests
{
    private static readonly DateTimeOffset Now = new(2026, 11, 30, 12, 0, 0, TimeSpan.Zero);

    [Test]
    public void Read_NoFile_IsNull()
    {
        using var directory = new TemporaryDirectory();

        new StateFile(directory.File("not-yet"), "edge", "a").Read().Should().BeNull();
    }

    [Test]
    public void Write_Everything_IsReadAgainByThatNodeAlone()
    {
        using var directory = new TemporaryDirectory();
        var folder = directory.File("not-yet");
        var file = new StateFile(folder, "ed/ge", "a");
        var state = Enumerable.Range(0, 2000).Select(i => SharedStateTests.Change((ushort)(i * 31)))
            .Aggregate(SharedState.Empty, (known, change) => known.Merge(change.Key, change.Backend));
        var judged = new JudgedBackend(new Judged(Now, "Ready", true), null, new Judged(Now, null, false));
        var copy = new StateCopy(
            state, ImmutableDictionary<BackendKey, JudgedBackend>.Empty.Add(BackendKey.Of("web", "b/1"), judged), 17,
            new StickyKeyOfCluster(Convert.ToBase64String(new byte[32]), "web"))
        {
            Configuration = new PushedCopy(
                new PushedConfiguration(new PushedMark(7, Now, "b", "ci", 5), "{ }"),
                new PushedConfiguration(new PushedMark(6, Now, "b", "ci", null), "{}")),
        };

        file.Write(copy);
        file.Write(copy);

        var read = file.Read()!;
        read.ToJson().ToJsonString().Should().Be(copy.ToJson().ToJsonString());
        (read.Revision, read.StickyKey, read.Configuration).Should().Be((17, copy.StickyKey, copy.Configuration));
        read.Judged.Should().ContainSingle().Which.Value.Should().Be(judged);
        new StateFile(folder, "ed/ge", "b").Read().Should().BeNull();
        Directory.GetFiles(folder).Should().Equal(file.Path);
        if (!OperatingSystem.IsWindows())
        {
            File.GetUnixFileMode(file.Path!).Should().Be(UnixFileMode.UserRead | UnixFileMode.UserWrite);
        }
    }

    [TestCase("")]
    [TestCase("null")]
    [TestCase("[]")]
    [TestCase("{\"revision\":\"x\"}")]
    [TestCase("{\"shared\":[]}")]
    public void Read_NoCopy_SaysSo(string text)
    {
        using var directory = new TemporaryDirectory();
        var file = new StateFile(directory.File("state"), "edge", "a");
        Directory.CreateDirectory(Path.GetDirectoryName(file.Path)!);
        File.WriteAllText(file.Path!, text);

        file.Invoking(copy => copy.Read()).Should().Throw<IOException>();
    }

    [Test]
    public void Read_SomethingInItIsOfAnotherVersion_LeavesThatOut()
    {
        using var directory = new TemporaryDirectory();
        var file = new StateFile(directory.File("state"), "edge", "a");
        Directory.CreateDirectory(Path.GetDirectoryName(file.Path)!);
        File.WriteAllText(file.Path!, """
            {"revision":3,"shared":{"admin/web/b1":{"adminState":7},"x/y":{},"admin/web/b2":
            {"weight":{"value":5,"time":"2026-11-30T12:00:00.0000000Z","node":"a"}}},"stickyKey":{"key":"short"}}
            """);

        var read = file.Read()!;

        read.State.All.Should().ContainSingle().Which.Key.Should().Be(BackendKey.Of("web", "b2"));
        read.StickyKey.Should().BeNull();
    }
}
