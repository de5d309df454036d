using FsCheck;
using LoadBalancer.Cluster;

namespace LoadBalancer.Tests.Cluster;

/// <summary>The keys and values in etcd.</summary>
[Parallelizable]
internal sealed class SharedTextTests
{
    [TestCase("web", "b1", "admin/web/b1")]
    [TestCase("Web", "rack1/b 3", "admin/web/rack1%2Fb%203")]
    [TestCase("ü", "b%2F", "admin/%C3%BC/b%252f")]
    [TestCase("web", "app@[::1]:8080", "admin/web/app%40%5B%3A%3A1%5D%3A8080")]
    public void Key_AnyNames_IsEncodedAndReadAgain(string pool, string backend, string text)
    {
        var key = BackendKey.Of(pool, backend);

        SharedText.Key(key, SharedPart.Admin).Should().Be(text);
        SharedText.TryReadKey(text, out var read, out var part).Should().BeTrue();
        (read, part).Should().Be((key, SharedPart.Admin));
        SharedText.TryReadKey(SharedText.Key(key, SharedPart.Added), out read, out part).Should().BeTrue();
        (read, part).Should().Be((key, SharedPart.Added));
    }

    [TestCase("")]
    [TestCase("admin")]
    [TestCase("admin/web")]
    [TestCase("admin//b1")]
    [TestCase("admin/web/")]
    [TestCase("admin/web/b1/x")]
    [TestCase("admin/WEB/b1")]
    [TestCase("admin/web/b%2f")]
    [TestCase("nodes/web/b1")]
    public void TryReadKey_AnotherKey_IsNone(string text) => SharedText.TryReadKey(text, out _, out _).Should().BeFalse();

    [Property(Replay = "20261130,7", MaxTest = 1000)]
    public void Value_AnyChange_IsReadAgain(ushort number)
    {
        var (_, backend) = SharedStateTests.Change(number);
        foreach (var part in Enum.GetValues<SharedPart>().Where(part => backend.Part(part) != SharedBackend.None))
        {
            SharedText.TryRead(SharedText.Value(backend, part), part, out var read).Should().BeTrue();
            read.Should().Be(backend.Part(part));
        }
    }

    [TestCase("")]
    [TestCase("null")]
    [TestCase("[]")]
    [TestCase("{}")]
    [TestCase("""{"adminState":"Draining"}""")]
    [TestCase("""{"adminState":{"value":"Draining"}}""")]
    [TestCase("""{"adminState":{"value":"Draining","time":"yesterday","node":"a"}}""")]
    [TestCase("""{"adminState":{"value":"Sleeping","time":"2026-11-30T12:00:00.0000000Z","node":"a"}}""")]
    [TestCase("""{"weight":{"value":1001,"time":"2026-11-30T12:00:00.0000000Z","node":"a"}}""")]
    [TestCase("""{"weight":{"value":"5","time":"2026-11-30T12:00:00.0000000Z","node":"a"}}""")]
    [TestCase("""{"weight":{"value":99999999999,"time":"2026-11-30T12:00:00.0000000Z","node":"a"}}""")]
    [TestCase("""{"weight":{"value":5,"time":7,"node":"a"}}""")]
    public void TryRead_NoSuchValue_IsNone(string text) => SharedText.TryRead(text, SharedPart.Admin, out _).Should().BeFalse();

    [TestCase("""{"added":{"value":{"name":"b","address":"x","weight":1,"adminState":"Ready"},"time":"2026-11-30T12:00:00.0000000Z"}}""")]
    [TestCase("""{"added":{"value":{"address":"http://a","weight":1,"adminState":"Ready"},"time":"2026-11-30T12:00:00.0000000Z"}}""")]
    [TestCase("""{"added":{"value":{"name":"b","address":"http://a:80","adminState":"Ready"},"time":"2026-11-30T12:00:00.0000000Z"}}""")]
    public void TryRead_NoSuchBackend_IsNone(string text) => SharedText.TryRead(text, SharedPart.Added, out _).Should().BeFalse();
}
