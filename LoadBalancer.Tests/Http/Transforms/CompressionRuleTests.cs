using LoadBalancer.Http.Transforms;
using LoadBalancer.Tests.Support;

namespace LoadBalancer.Tests.Http.Transforms;

/// <summary>Which responses are compressed, with what, and what becomes of their heads.</summary>
internal sealed class CompressionRuleTests
{
    private static readonly string Text = CompressingNode.Text;

    [TestCase(null, -1)]
    [TestCase("", -1)]
    [TestCase("identity", -1)]
    [TestCase("gzip", 1)]
    [TestCase("GZIP", 1)]
    [TestCase("x-gzip", 1)]
    [TestCase("gzip, deflate, br, zstd", 0)]
    [TestCase("gzip;q=1.0, br;q=0.9", 1)]
    [TestCase("gzip;q=0.5, br;q=0.5", 0)]
    [TestCase("gzip ; q=0.001", 1)]
    [TestCase("gzip;q=0", -1)]
    [TestCase("gzip;q=0.000, br;q=0.0", -1)]
    [TestCase("*", 0)]
    [TestCase("br;q=0, *", 1)]
    [TestCase("*;q=0", -1)]
    [TestCase("*;q=0, gzip", 1)]
    [TestCase("identity, gzip;q=0.5", -1)]
    [TestCase("identity;q=0.5, gzip;q=0.5", 1)]
    [TestCase("identity;q=0", -1)]
    [TestCase("gzip;q=2", -1)]
    [TestCase("gzip;q=-1", -1)]
    [TestCase("gzip;q=x", -1)]
    [TestCase("gzip;level=9", -1)]
    [TestCase("notgzip, gzipped", -1)]
    [TestCase(", ,gzip", 1)]
    public void Choose_AcceptEncoding_IsTheBestOfBrAndGzip(string? accepted, int expected) =>
        AcceptedCodings.Choose(accepted, ["br", "gzip"]).Should().Be(expected);

    [TestCase("text/html", "text/*", true)]
    [TestCase("TEXT/html; charset=utf-8", "text/*", true)]
    [TestCase("textual/html", "text/*", false)]
    [TestCase("application/json", "application/json", true)]
    [TestCase("application/json5", "application/json", false)]
    [TestCase("image/png", "*", true)]
    [TestCase("image/png", "*/*", true)]
    [TestCase("nonsense", "*", false)]
    [TestCase("", "*", false)]
    public void Match_ContentType_ByTheWholeTypeOrItsFirstPart(string type, string pattern, bool expected) =>
        new MediaTypes([pattern]).Match(type).Should().Be(expected);

    [TestCase("", true)]
    [TestCase("Content-Encoding: br\r\n", false)]
    [TestCase("Content-Range: bytes 0-1/2\r\n", false)]
    [TestCase("Cache-Control: public, no-transform\r\n", false)]
    [TestCase("Cache-Control: no-transformation\r\n", true)]
    public async Task Response_FieldsOfTheBackend_DecideAndSoIsVary(string fields, bool isCompressed)
    {
        await using var node = await CompressingNode.AnsweringAsync(CompressingNode.Json(Text, fields));

        var answer = await node.GetAsync();

        answer.Contains("\r\nContent-Encoding: gzip\r\n", StringComparison.Ordinal).Should().Be(isCompressed);
        answer.Contains("\r\nVary: Accept-Encoding\r\n", StringComparison.Ordinal).Should().Be(isCompressed);
        (isCompressed || answer.EndsWith(Text, StringComparison.Ordinal)).Should().BeTrue();
    }

    [TestCase("text/event-stream", """{}""", false)]
    [TestCase("text/event-stream", """{ "Types": "*" }""", false)]
    [TestCase("text/event-stream; charset=utf-8", """{ "Types": [ "text/Event-Stream" ] }""", true)]
    [TestCase("application/grpc", """{ "Types": [ "*", "application/grpc" ] }""", false)]
    [TestCase("application/grpc+proto", """{ "Types": "*/*" }""", false)]
    [TestCase("image/png", """{}""", false)]
    [TestCase("image/png", """{ "Types": "image/*" }""", true)]
    [TestCase("image/svg+xml", """{}""", true)]
    public async Task Response_OfAType_IsCompressedWhereTypesSaySo(string type, string compression, bool isCompressed)
    {
        await using var node = await CompressingNode.AnsweringAsync(CompressingNode.Json(Text, type: type), compression);

        var answer = await node.GetAsync();

        answer.Contains("\r\nContent-Encoding: gzip\r\n", StringComparison.Ordinal).Should().Be(isCompressed);
        CompressingNode.BodyOf(answer).Should().Be(Text);
    }

    [TestCase(1023, """{}""", false)]
    [TestCase(1024, """{}""", true)]
    [TestCase(1, """{ "MinSize": 0 }""", true)]
    [TestCase(0, """{ "MinSize": 0 }""", false)]
    public async Task Response_OfASize_IsCompressedFromMinSizeOn(int size, string compression, bool isCompressed)
    {
        await using var node = await CompressingNode.AnsweringAsync(CompressingNode.Json(Text[..size]), compression);

        var answer = await node.GetAsync();

        answer.Contains("\r\nContent-Encoding: gzip\r\n", StringComparison.Ordinal).Should().Be(isCompressed);
        answer.Contains("\r\nVary: Accept-Encoding\r\n", StringComparison.Ordinal).Should().Be(isCompressed);
        CompressingNode.BodyOf(answer).Should().Be(Text[..size]);
    }

    [TestCase("206 Partial Content")]
    [TestCase("204 No Content")]
    public async Task Response_WithoutAWholeBody_IsLeftAlone(string status)
    {
        var response = $"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nETag: \"a\"\r\n"
            + (status.StartsWith("204", StringComparison.Ordinal) ? "\r\n" : "Content-Length: 2000\r\n\r\n" + Text[..2000]);
        await using var node = await CompressingNode.AnsweringAsync(response);

        (await node.GetAsync()).Should().Contain("\r\nETag: \"a\"\r\n").And.NotContain("Vary").And.NotContain("Content-Encoding");
    }

    [Test]
    public async Task Response_Compressed_LosesWhatIsNoLongerTrue()
    {
        await using var node = await CompressingNode.AnsweringAsync(CompressingNode.Json(
            Text,
            "ETag: \"a\"\r\nAccept-Ranges: bytes\r\nContent-MD5: x\r\nDigest: x\r\nContent-Digest: x\r\nRepr-Digest: x\r\n"
            + "Vary: Origin\r\n"));

        var answer = await node.GetAsync();

        CompressingNode.HeadOf(answer).Should().Contain("\r\nETag: W/\"a\"\r\n").And.Contain("Vary: Origin")
            .And.Contain("Vary: Accept-Encoding").And.NotContain("Accept-Ranges").And.NotContain("MD5")
            .And.NotContain("Digest").And.NotContain("Content-Length");
        CompressingNode.BodyOf(answer).Should().Be(Text);
    }

    [TestCase("W/\"a\"", "W/\"a\"")]
    [TestCase("a", null)]
    public async Task Response_CompressedWithAnOddTag_HasAWeakOneOrNone(string tag, string? expected)
    {
        await using var node = await CompressingNode.AnsweringAsync(CompressingNode.Json(Text, $"ETag: {tag}\r\n"));

        var answer = await node.GetAsync();

        CompressingNode.HeadOf(answer).Should().Contain(expected is null ? "gzip" : $"\r\nETag: {expected}\r\n");
        (expected is not null || !answer.Contains("ETag", StringComparison.Ordinal)).Should().BeTrue();
    }

    [TestCase("Vary: accept-encoding\r\n")]
    [TestCase("Vary: *\r\n")]
    public async Task Response_VaryIsThere_NoneIsAdded(string fields)
    {
        await using var node = await CompressingNode.AnsweringAsync(CompressingNode.Json(Text, fields));

        CompressingNode.HeadOf(await node.GetAsync()).Split("Vary:").Should().HaveCount(2);
    }

    [TestCase("", "GET")]
    [TestCase("Accept-Encoding: identity\r\n", "GET")]
    [TestCase("Accept-Encoding: gzip\r\n", "HEAD")]
    public async Task Response_CouldBeCompressedAndIsNot_HasVaryAndIsOtherwiseLeftAlone(string fields, string method)
    {
        var response = CompressingNode.Json(method == "HEAD" ? "" : Text, "ETag: \"a\"\r\nAccept-Ranges: bytes\r\n")
            .Replace("Content-Length: 0", "Content-Length: 5000", StringComparison.Ordinal);
        await using var node = await CompressingNode.AnsweringAsync(response);

        (await node.GetAsync(fields, method)).Should().Contain("\r\nVary: Accept-Encoding\r\n").And.Contain("\r\nETag: \"a\"\r\n")
            .And.Contain("\r\nAccept-Ranges: bytes\r\n").And.Contain("\r\nContent-Length: ").And.NotContain("Content-Encoding");
    }

    [TestCase("W/\"a\"", "W/\"a\"")]
    [TestCase("\"a\"", "\"a\"")]
    [TestCase("W/\"b\", \"a\"", "\"a\"")]
    public async Task Response_NotModified_HasTheTagThatTheClientKnows(string asked, string expected)
    {
        await using var node = await CompressingNode.AnsweringAsync("HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n");

        (await node.GetAsync($"Accept-Encoding: gzip\r\nIf-None-Match: {asked}\r\n")).Should()
            .Contain($"\r\nETag: {expected}\r\n").And.Contain("\r\nVary: Accept-Encoding\r\n").And.NotContain("Content-Encoding");
    }

    [Test]
    public async Task Request_ForbidsTransformation_IsNotCompressed()
    {
        await using var node = await CompressingNode.AnsweringAsync(CompressingNode.Json(Text));

        (await node.GetAsync("Accept-Encoding: gzip\r\nCache-Control: no-transform\r\n")).Should().EndWith(Text);
    }

    [Test]
    public async Task Route_SaysNoneOrOtherwise_ReplacesTheListeners()
    {
        await using var node = await CompressingNode.AnsweringAsync(CompressingNode.Json(Text), listener: """
            "Routes": [ { "Path": "/none", "Pool": "web", "Compression": "None" },
                        { "Path": "/png", "Pool": "web", "Compression": { "Types": [ "image/png" ] } },
                        { "Path": "/same", "Pool": "web" } ],
            """);

        (await node.GetAsync(target: "/none")).Should().EndWith(Text).And.NotContain("Vary");
        (await node.GetAsync(target: "/png")).Should().EndWith(Text).And.NotContain("Vary");
        (await node.GetAsync(target: "/same")).Should().Contain("\r\nContent-Encoding: gzip\r\n");
        (await node.GetAsync(target: "/other")).Should().Contain("\r\nContent-Encoding: gzip\r\n");
    }

    [Test]
    public async Task Route_Responds_IsCompressedWithItsLength()
    {
        await using var node = await CompressingNode.AnsweringAsync("", listener: $$"""
            "Routes": [ { "Path": "/own", "Respond": { "Body": "{{new string('a', 5000)}}" } },
                        { "Path": "/small", "Respond": { "Body": "a" } } ],
            """);

        var answer = await node.GetAsync(target: "/own");

        CompressingNode.HeadOf(answer).Should().Contain("\r\nContent-Encoding: gzip\r\n").And.Contain("\r\nContent-Length: ")
            .And.Contain("\r\nVary: Accept-Encoding\r\n");
        CompressingNode.BodyOf(answer).Should().Be(new string('a', 5000));
        (await node.GetAsync(target: "/small")).Should().EndWith("\r\n\r\na");
        (await node.GetAsync(method: "HEAD", target: "/own")).Should().Contain("\r\nContent-Length: 5000\r\n").And.EndWith("\r\n\r\n");
    }
}
