using LoadBalancer.Diagnostics.Metrics;

namespace LoadBalancer.Tests.Diagnostics.Metrics;

/// <summary>What the metrics of the process say.</summary>
[NonParallelizable] // Other tests open and close files; what they left behind may still do so, hence many.
internal sealed class ProcessReadingsTests
{
    [Test]
    [Platform("Linux")]
    public void OpenFiles_ThousandMoreAreOpened_CountsThem()
    {
        const int Count = 1000;
        var before = ProcessReadings.OpenFiles;

        var files = Enumerable.Range(0, Count).Select(_ => File.OpenHandle("/dev/null")).ToList();
        var (after, links) = (ProcessReadings.OpenFiles, ProcessReadings.CountLinks());
        files.ForEach(file => file.Dispose());

        (after - before).Should().BeInRange(Count - 100, Count + 100);
        (after - links).Should().BeInRange(-100, 100);
        ProcessReadings.MaxFiles.Should().BeGreaterThan(after!.Value);
    }

    [Test]
    public void Threads_ThisProcess_HasSomeAndMemoryForThem()
    {
        ProcessReadings.Threads.Should().BeGreaterThan(1);
        ProcessReadings.VirtualMemory.Should().BeGreaterThanOrEqualTo(Environment.WorkingSet);
    }
}
