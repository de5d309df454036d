using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Configuration.Reading;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Configuration.Reading;

/// <summary>The file with backends, and what is wrong with it, with its line.</summary>
internal sealed class BackendListTests
{
    private static readonly PoolOptions Pool = new()
    {
        Backends = new Dictionary<string, BackendOptions>(StringComparer.OrdinalIgnoreCase)
        {
            ["fixed"] = new() { Address = TestNode.Parse("http://127.0.0.1:1") },
        },
    };

    [Test]
    public void Read_List_HasTheBackendsInOrder()
    {
        var backends = Read("""
            \uFEFF// made by a program
            [ { "name": "b", "address": "http://127.0.0.1:3", "weight": 5, "inFlight": 0, "more": { "a": [ 1 ] } },
              { "Name": "a", "Address": "srv+https://_https._tcp.web.test" }, ]
            """.Replace("\\uFEFF", "\uFEFF", StringComparison.Ordinal));

        backends.Select(entry => $"{entry.Key} {entry.Value.Address} {entry.Value.Weight}")
            .Should().Equal("b http://127.0.0.1:3 5", "a srv+https://_https._tcp.web.test 1");
    }

    [Test]
    public void Read_EmptyList_HasNone() => Read("[]").Should().BeEmpty();

    [TestCase("", "line 1: it is not valid JSON")]
    [TestCase("[\n{ \"name\": \"a\",", "line 2: it is not valid JSON")]
    [TestCase("[] []", "line 1: it is not valid JSON")]
    [TestCase("{}", "line 1: expected a list: *")]
    [TestCase("[\n 1 ]", "line 2: expected { *")]
    [TestCase("[\n{ \"address\": \"http://127.0.0.1:1\" } ]", "line 2: the name is missing")]
    [TestCase("[ {\n \"name\": \"a b\" } ]", "line 2: the name is not a text, is empty, or has blanks in it")]
    [TestCase("[ { \"name\": \"a\" } ]", "line 1: the address of backend 'a' is missing")]
    [TestCase("[ { \"name\": \"a\",\n\n \"address\": \"ftp://a\" } ]", "line 3: 'ftp://a' is not a valid address; *")]
    [TestCase("[ { \"name\": \"a\", \"address\": \"udp://127.0.0.1:1\" } ]",
        "line 1: 'udp://127.0.0.1:1' is not where a backend can be; *")]
    [TestCase("[ { \"name\": \"a\", \"address\": \"http://127.0.0.1:1\", \"weight\": 1001 } ]",
        "line 1: the weight is not a whole number *")]
    [TestCase("[ { \"name\": \"a\", \"address\": \"tcp://127.0.0.1:1\" } ]",
        "line 1: * is of another kind than the pool's other backends")]
    [TestCase("[ { \"name\": \"Fixed\", \"address\": \"http://127.0.0.1:1\" } ]",
        "line 1: backend 'Fixed' is in the pool's Backends too; expected another name")]
    [TestCase("[ { \"name\": \"a\", \"address\": \"http://127.0.0.1:1\" },\n{ \"name\": \"A\", \"address\": \"http://127.0.0.1:1\" } ]",
        "line 2: backend 'A' is there twice")]
    public void Read_NoSuchList_SaysWhatIsWrongAndWhere(string json, string error) =>
        FluentActions.Invoking(() => Read(json)).Should().Throw<FormatException>().WithMessage(error);

    [TestCase("[\n{ \"name\": \"caf\u00e9\", \"address\": \"http://127.0.0.1:1\" } ]")]
    [TestCase("[\n{ \"caf\u00e9\": 1 } ]")]
    [TestCase("[\n{ \"name\": \"\\ud800\" } ]")]
    [TestCase("[\n{ \"name\": \"a\", \"address\": \"\\udc00\" } ]")]
    public void Read_TextThatIsNotUnicode_SaysWhere(string json) =>
        FluentActions.Invoking(() => BackendList.ReaderFor(Pool)(Encoding.Latin1.GetBytes(json)))
            .Should().Throw<FormatException>().WithMessage("line 2: a text is not valid UTF-8, or has half a surrogate pair");

    private static IReadOnlyDictionary<string, BackendOptions> Read(string json) =>
        BackendList.ReaderFor(Pool)(Encoding.UTF8.GetBytes(json));
}
