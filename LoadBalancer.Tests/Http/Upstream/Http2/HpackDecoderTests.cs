using LoadBalancer.Http.Headers;
using LoadBalancer.Http.Upstream.Http2;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Upstream.Http2;

/// <summary>Decoding field sections (RFC 7541), with the examples of its appendix C.</summary>
internal sealed class HpackDecoderTests
{
    private const string TableOf256 = "3fe101"; // section 6.3: the tables of C.5 and C.6 have 256 bytes

    private const string Gmt = "Mon, 21 Oct 2013 20:13:2";

    private static readonly string[] RequestFields = ["", "cache-control: no-cache", "custom-key: custom-value"];

    private static readonly string[] ResponseFields =
    [
        $":status: 302, cache-control: private, date: {Gmt}1 GMT, location: https://www.example.com",
        $":status: 307, cache-control: private, date: {Gmt}1 GMT, location: https://www.example.com",
        $":status: 200, cache-control: private, date: {Gmt}2 GMT, location: https://www.example.com, content-encoding: gzip, "
            + "set-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    ];

    [TestCase("400a637573746f6d2d6b65790d637573746f6d2d686561646572", "custom-key: custom-header", TestName = "C.2.1")]
    [TestCase("100870617373776f726406736563726574", "password: secret", TestName = "C.2.3")]
    [TestCase("88", ":status: 200", TestName = "Indexed field of the static table")]
    [TestCase("0f0d0161", "content-length: a", TestName = "Name whose index needs two bytes")]
    [TestCase("3f20203f20000161026263", "a: bc", TestName = "Size updates before the first field")]
    [TestCase("", "", TestName = "Nothing at all")]
    public void Decode_OneField_GivesNameAndValue(string block, string fields) =>
        Decode(new HpackDecoder(new HeaderLine?[4]), block).Should().Be(fields);

    [TestCase(
        "828684410f7777772e6578616d706c652e636f6d", "828684be58086e6f2d6361636865",
        "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565", TestName = "C.3")]
    [TestCase(
        "828684418cf1e3c2e5f23a6ba0ab90f4ff", "828684be5886a8eb10649cbf", "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
        TestName = "C.4")]
    public void Decode_RequestsOfAppendixC_GivesTheirFields(string first, string second, string third)
    {
        // Pseudo-fields of requests are faults in a response. They are in the table all the same, which the later sections refer to.
        var decoder = new HpackDecoder(new HeaderLine?[HeaderLines.KnownLines]);

        new[] { first, second, third }.Select(block => Decode(decoder, block)).Should().Equal(RequestFields);
        Decode(decoder, "bebf").Should().Be("custom-key: custom-value, cache-control: no-cache");
    }

    [TestCase(
        "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578"
            + "616d706c652e636f6d",
        "4803333037c1c0bf",
        "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f515745"
            + "4f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
        TestName = "C.5")]
    [TestCase(
        "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
        "4883640effc1c0bf",
        "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270f"
            + "b5291f9587316065c003ed4ee5b1063d5007",
        TestName = "C.6")]
    public void Decode_ResponsesOfAppendixC_EvictAndGiveTheirFields(string first, string second, string third)
    {
        var decoder = new HpackDecoder(new HeaderLine?[HeaderLines.KnownLines]);

        new[] { TableOf256 + first, second, third }.Select(block => Decode(decoder, block)).Should().Equal(ResponseFields);
        // The table's content at the end (C.5.3): three entries, and no fourth.
        Decode(decoder, "bebfc0").Should().Be(
            $"{ResponseFields[2][(ResponseFields[2].IndexOf("set-cookie", StringComparison.Ordinal))..]}, content-encoding: gzip, "
            + $"date: {Gmt}2 GMT");
        FluentActions.Invoking(() => Decode(decoder, "c1")).Should().Throw<Http2ConnectionException>();
    }

    [TestCase("20", "be")] // all is evicted by the size 0
    [TestCase("203fe11f", "be")] // and stays so when the table grows again
    [TestCase("3f02", "be")] // 33 bytes: less than the entry
    public void Decode_SmallerTable_ForgetsTheOldest(string update, string index)
    {
        var decoder = new HpackDecoder(new HeaderLine?[4]);
        Decode(decoder, "4001610162");
        Decode(decoder, "be").Should().Be("a: b");

        FluentActions.Invoking(() => Decode(decoder, update + index)).Should().Throw<Http2ConnectionException>();
    }

    [Test]
    public void Decode_EntryLargerThanTheTable_EmptiesIt()
    {
        var decoder = new HpackDecoder(new HeaderLine?[4]);
        Decode(decoder, "3f09" + "4001610162"); // 40 bytes of room, 34 used

        Decode(decoder, "400a" + Hex(new string('n', 10)) + "0162").Should().Be("nnnnnnnnnn: b");

        FluentActions.Invoking(() => Decode(decoder, "be")).Should().Throw<Http2ConnectionException>();
    }

    [Test]
    public void Decode_TableFullOfTheSmallestEntries_KeepsThemAll()
    {
        var decoder = new HpackDecoder(new HeaderLine?[4]);
        for (var i = 0; i < 130; i++)
        {
            Decode(decoder, "4001" + Hex(((char)('a' + i % 26)).ToString()) + "00");
        }

        // 33 bytes each: 124 fit into 4096 bytes. The newest is the letter of i = 129, the oldest that of i = 6.
        Decode(decoder, "be").Should().Be("z: ");
        Decode(decoder, Hex(HpackText.Integer(61 + 124, 0x7f, 0x80))).Should().Be("g: ");
        FluentActions.Invoking(() => Decode(decoder, Hex(HpackText.Integer(61 + 125, 0x7f, 0x80))))
            .Should().Throw<Http2ConnectionException>();
    }

    [Test]
    public void Decode_SameBytesAtTheSamePlace_AreTheSameField()
    {
        var known = new HeaderLine?[4];
        Decode(new HpackDecoder(known), "88" + "0001610162" + "0f0d0133").Should().Be(":status: 200, a: b, content-length: 3");

        Decode(new HpackDecoder(known), "88" + "0001610162" + "0f0d0134").Should().Be(":status: 200, a: b, content-length: 4");
        Decode(new HpackDecoder(known), "88" + "000161026262" + "0f0d0133").Should().Be(":status: 200, a: bb, content-length: 3");
    }

    [Test]
    public void Decode_NameFromTheDynamicTable_IsNotMistakenForAnotherLater()
    {
        var known = new HeaderLine?[4];
        var decoder = new HpackDecoder(known);
        Decode(decoder, "4001610131" + "0f2f0132").Should().Be("a: 1, a: 2");
        Decode(decoder, "4001620131" + "0f2f0132").Should().Be("b: 1, b: 2");
    }

    [TestCase("80", TestName = "Index 0")]
    [TestCase("be", TestName = "Index beyond the table")]
    [TestCase("7f0100", TestName = "Name beyond the table")]
    [TestCase("ff", TestName = "Index that is cut off")]
    [TestCase("ff80", TestName = "Index that is cut off later")]
    [TestCase("ffffffffffffffffff7f", TestName = "Index of more than 32 bits")]
    [TestCase("ffffffffff0f", TestName = "Index that is negative in 32 bits")]
    [TestCase("ff8080808080808080808000", TestName = "Number without end")]
    [TestCase("0001", TestName = "Name that is cut off")]
    [TestCase("000161", TestName = "Value that is not there")]
    [TestCase("00016105", TestName = "Value that is cut off")]
    [TestCase("0001617fffffffff07", TestName = "Value as long as the memory")]
    [TestCase("40", TestName = "Literal without anything")]
    [TestCase("0f", TestName = "Literal whose index is cut off")]
    [TestCase("8820", TestName = "Size update after a field")]
    [TestCase("3fe21f", TestName = "Table larger than was allowed")]
    [TestCase("00016184ffffffff", TestName = "Huffman: the end of the string as a symbol")]
    [TestCase("00016181ff", TestName = "Huffman: eight bits of padding")]
    [TestCase("000161821fff", TestName = "Huffman: padding of more than seven bits")]
    [TestCase("0001618118", TestName = "Huffman: padding of zeros")]
    [TestCase("0001618483fffffe", TestName = "Huffman: a code that is cut off")]
    public void Decode_InvalidSection_IsACompressionError(string block) =>
        Decoding(block).Should().Throw<Http2ConnectionException>()
            .Which.Code.Should().Be(Http2Error.CompressionError);

    // Encoded with python3-hpack.
    [Test]
    public void Huffman_EachByteOfAValue_IsDecoded()
    {
        const string Encoded =
            "ffffea53f8fe7febff2afc7fafebfbf9ff7f4b2ec002265a6dc75e7ee7dfffc83feffcffd4376f5fc187163c997367d1a756bd9b776fe1"
            + "c797e73fdffdffff0ffe7ff917ffd1c6490b2cd39ba75a29a8f5f6b109b7bf8f3ebdfffeff9ffefff7fff9bfffd2fffe7fffe8ffff4fff"
            + "fd4ffff57fffecffffadffff6bfffedffffdcffffbbffff7bffffaffffeffffff67ffff6ffffafffff83ffffbbffff0ffffe2ffffc7fff"
            + "f93fffb9fffec7fffe5ffff67ffff37fffe7ffffefffff6bfffbbfffd3fffedffffb9ffffa3ffff4ffff7bffff57fffbbfffef7ffff87f"
            + "ff7ffffdfffffd7ffffb3fffc1fffe1ffff83fffc5ffffb7fffe1ffffddffffbffffabfffe2ffff8ffffe4ffffe1ffff2ffffcdffffc7f"
            + "fffe0fffff87fffaffff8ffffcfffffcbfffe8fffff67ffffc5fffff1fffffc9fffff7bffffeffffffcbffffe3ffffedfffe5fffe3ffff"
            + "f9bfffff07ffffe1fffff9ffffff17ffff97fff93fffcbfffff47ffffd3ffffffbfffff8ffffff27ffffe5fffecfffff3fffedffff37ff"
            + "fd3fffe7ffff47ffff3ffffabfffebfffff77ffffbfffffd3ffffd7ffffeaffffe9fffff5fffffe6fffffb3ffffedfffffcffffffa3fff"
            + "ff4fffffeafffffd7ffffffdfffffb3fffff6fffffeefffffdffffffc3ffffee";

        HuffmanDecoder.Decode(Convert.FromHexString(Encoded)).Should().Be(
            string.Concat(Enumerable.Range(0, 256).Where(code => code is '\t' or >= ' ' and not 127).Select(code => (char)code)));
    }

    private static Action Decoding(string block) =>
        FluentActions.Invoking(() => { Decode(new HpackDecoder(new HeaderLine?[4]), block); });

    private static string Hex(string text) => Convert.ToHexString(text.Select(c => (byte)c).ToArray());

    private static string Decode(HpackDecoder decoder, string hex)
    {
        var section = new FieldSection(isTrailers: false);
        decoder.Decode(Convert.FromHexString(hex), section);
        var fields = Enumerable.Range(0, section.Lines.Count).Select(i => $"{section.Lines[i].Name}: {section.Lines[i].Value}");
        return string.Join(", ", section.Status > 0 ? fields.Prepend($":status: {section.Status}") : fields);
    }
}
