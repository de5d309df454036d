using LoadBalancer.Transport;
using Microsoft.Extensions.Time.Testing;

namespace LoadBalancer.Tests.Transport;

/// <summary>When freed memory is collected: never while a client could notice the pause.</summary>
[FixtureLifeCycle(LifeCycle.InstancePerTestCase)]
internal sealed class FreedMemoryTests
{
    private readonly FakeTimeProvider _clock = new();
    private readonly FreedMemory _memory;
    private long _rounds;
    private int _collections;

    public FreedMemoryTests() => _memory = new FreedMemory(() => _rounds, () => _collections++);

    [Test]
    public void Count_ManyWereParkedAndNothingHappens_CollectsOnce()
    {
        Sweep(2000);
        Sweep(0, seconds: 4);
        _collections.Should().Be(0);

        Sweep(0, seconds: 60);

        _collections.Should().Be(1);
    }

    [Test]
    public void Count_EventsGoOn_NeverCollects()
    {
        Sweep(2000);

        for (var i = 0; i < 100; i++)
        {
            _rounds++;
            Sweep(0);
        }

        _collections.Should().Be(0);
    }

    [Test]
    public void Count_FewWereParked_NeverCollects()
    {
        Sweep(999);

        Sweep(0, seconds: 60);

        _collections.Should().Be(0);
    }

    private void Sweep(int parked, int seconds = 1)
    {
        for (var i = 0; i < seconds; i++)
        {
            _clock.Advance(TimeSpan.FromSeconds(1));
            _memory.Count(parked * FreedMemory.OfParkedConnection, _clock);
        }
    }
}
