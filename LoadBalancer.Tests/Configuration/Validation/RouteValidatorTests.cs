using LoadBalancer.Configuration;

namespace LoadBalancer.Tests.Configuration.Validation;

/// <summary>What is wrong with routes.</summary>
internal sealed class RouteValidatorTests
{
    private string _file = "";

    [SetUp]
    public void SetUp() => _file = Path.GetTempFileName();

    [TearDown]
    public void TearDown() => File.Delete(_file);

    [Test]
    public void Load_EverythingThatARouteCanHave_IsRead()
    {
        Errors("""
            { "Name": "api", "Host": [ "a.test", "*.b.test" ], "Path": "/api", "Exact": true, "Methods": [ "GET" ],
              "Headers": { "X-A": "1*", "X-B": null }, "Query": { "debug": "*" }, "Cookies": { "beta": "yes" },
              "Clients": [ "10.0.0.0/8" ], "Split": { "web": 95, "api": 5 }, "StripPrefix": true, "AddPrefix": "/v2",
              "Rewrite": { "Pattern": "^/old/(.*)$", "To": "/new/$1/{host}" }, "HostHeader": "Backend",
              "RequestHeaders": { "Set": { "X-T": "{header:X-Org}" }, "Add": { "X-U": "u" }, "Remove": [ "Cookie" ] },
              "ResponseHeaders": { "Remove": [ "Server" ] }, "MaxRequestBodySize": 10,
              "Timeouts": { "Response": "00:00:05", "Total": null }, "Retry": { "Attempts": 1 }, "AccessLog": true },
            { "PathPattern": "^/v[0-9]+/", "Redirect": { "To": "https://{host}{path}{query}", "Status": 301 } },
            { "Respond": { "Status": 503, "Body": "x", "ContentType": "text/html", "File": null } }
            """).Should().BeEmpty();
    }

    [TestCase("""{ }""", "Pool: is missing; expected Pool, Split, Redirect or Respond")]
    [TestCase("""{ "Pool": "web", "Respond": {} }""", ": has more than one of Pool, Split, Redirect and Respond; expected one")]
    [TestCase("""{ "Pool": "nope" }""", "Pool: pool 'nope' is not defined; expected one of 'web', 'api'")]
    [TestCase("""{ "Split": { "nope": 1 } }""", "Split:nope: pool 'nope' is not defined; expected one of 'web', 'api'")]
    [TestCase("""{ "Split": { "web": -1, "api": 1 } }""", "Split:web: '-1' is out of range; expected 0 or more")]
    [TestCase("""{ "Split": { "web": "x", "api": 1 } }""", "Split:web: 'x' is not valid; expected a whole number")]
    [TestCase("""{ "Split": { "web": 0 } }""", "Split: has only shares of 0, so nobody would be served")]
    [TestCase("""{ "Split": { "web": 2147483647, "api": 1 } }""", "Split: has shares that are too large together")]
    [TestCase("""{ "Path": "api", "Pool": "web" }""", "Path: 'api' is not a path; expected for example /api")]
    [TestCase("""{ "Exact": true, "Pool": "web" }""", "Exact: needs a Path")]
    [TestCase("""{ "Path": "/", "PathPattern": "x", "Pool": "web" }""", "PathPattern: is used instead of Path; expected one of the two")]
    [TestCase("""{ "PathPattern": "(", "Pool": "web" }""", "PathPattern: '(' is not a regular expression: *")]
    [TestCase("""{ "PathPattern": "(?=a)", "Pool": "web" }""", "PathPattern: '(?=a)' would need backtracking, *")]
    [TestCase("""{ "Host": [ "a", "b c" ], "Pool": "web" }""", "Host:1: 'b c' is not a host name; *")]
    [TestCase("""{ "Methods": [ "GE T" ], "Pool": "web" }""", "Methods:0: 'GE T' is not a method; expected for example GET")]
    [TestCase("""{ "Headers": { "X A": "1" }, "Pool": "web" }""", "Headers:X A: is not the name of a header field")]
    [TestCase("""{ "Pool": "web", "Compression": { "Level": "Best" } }""",
        "Compression:Level: 'Best' is not valid; expected Fastest or Optimal*")]
    [TestCase("""{ "Pool": "web", "Compression": { "Types": [] } }""", "Compression:Types: is empty; expected for example text/*")]
    [TestCase("""{ "Pool": "web", "Compression": { "Types": [ "text/*", "json" ] } }""",
        "Compression:Types:1: 'json' is not a media type; *")]
    [TestCase("""{ "Pool": "web", "Compression": { "Types": "text/html;q=1" } }""", "Compression:Types:0: 'text/html;q=1' is not a *")]
    [TestCase("""{ "Pool": "web", "Compression": { "MinSize": -1 } }""",
        "Compression:MinSize: '-1' is out of range; expected 0 or more")]
    [TestCase("""{ "Pool": "web", "Compression": "Off" }""", "Compression: 'Off' is not an object; expected { Types, MinSize, Level }*")]
    [TestCase("""{ "Pool": "web", "Mirror": { "Share": 0.1 } }""", "Mirror:Pool: is missing; expected one of 'web', 'api'")]
    [TestCase("""{ "Pool": "web", "Mirror": { "Pool": "nope" } }""", "Mirror:Pool: pool 'nope' is not defined; expected one of *")]
    [TestCase("""{ "Pool": "web", "Mirror": { "Pool": "api", "Share": 1.1 } }""", "Mirror:Share: '1.1' is out of range; expected 0 to 1")]
    [TestCase("""{ "Pool": "web", "Mirror": { "Pool": "api", "Share": -1 } }""", "Mirror:Share: '-1' is out of range; expected 0 to 1")]
    [TestCase("""{ "Pool": "web", "Mirror": { "Pool": "api", "Share": "10%" } }""", "Mirror:Share: '10%' is not valid; *")]
    [TestCase("""{ "Respond": {}, "Mirror": { "Pool": "api" } }""", "Mirror: is of no use here: this route answers by itself, *")]
    [TestCase("""{ "Redirect": {} }""", "Redirect:To: is missing; expected for example https://{host}{path}{query}")]
    [TestCase("""{ "Redirect": { "To": "{hots}" } }""", "Redirect:To: has the unknown value {hots}; expected {client} {host} *")]
    [TestCase("""{ "Redirect": { "To": "{host" } }""", "Redirect:To: has a { without its }")]
    [TestCase("""{ "Redirect": { "To": "/", "Status": 200 } }""",
        "Redirect:Status: '200' is no redirect; expected 301, 302, 303, 307 or 308")]
    [TestCase("""{ "Respond": { "Status": 101 } }""", "Respond:Status: '101' is out of range; expected 200 to 599")]
    [TestCase("""{ "Respond": { "Body": "a", "File": "b" } }""", "Respond:File: is used instead of Body; expected one of the two")]
    [TestCase("""{ "Respond": { "File": "/nowhere/down.html" } }""", "Respond:File: '/nowhere/down.html' cannot be read: no such file")]
    [TestCase("""{ "StripPrefix": true, "Pool": "web" }""", "StripPrefix: needs a Path, which it takes away")]
    [TestCase("""{ "AddPrefix": "/a?b", "Pool": "web" }""", "AddPrefix: '/a?b' is not a path; expected for example /v2")]
    [TestCase("""{ "Rewrite": { "To": "x" }, "Pool": "web" }""", "Rewrite:Pattern: is missing; expected a regular expression")]
    [TestCase("""{ "Rewrite": { "Pattern": "(a)", "To": "$2" }, "Pool": "web" }""", "Rewrite:To: names the group $2; '(a)' has 1 of them")]
    [TestCase("""{ "Rewrite": { "Pattern": "(a)\\1", "To": "x" }, "Pool": "web" }""",
        "Rewrite:Pattern: '(a)\\1' would need backtracking, *")]
    [TestCase("""{ "HostHeader": "a b", "Pool": "web" }""", "HostHeader: 'a b' is not a host; expected Client, Backend or a name")]
    [TestCase("""{ "RequestHeaders": { "Set": { "Host": "x" } }, "Pool": "web" }""",
        "RequestHeaders:Set:Host: Host cannot be changed; expected HostHeader")]
    [TestCase("""{ "ResponseHeaders": { "Remove": [ "content-length" ] }, "Pool": "web" }""",
        "ResponseHeaders:Remove:0: content-length cannot be changed")]
    [TestCase("""{ "RequestHeaders": { "Add": { "a b": "x" } }, "Pool": "web" }""",
        "RequestHeaders:Add:a b: 'a b' is not the name of a header field")]
    [TestCase("""{ "StripPrefix": true, "Path": "/a", "Respond": {} }""", "StripPrefix: is of no use here: *")]
    [TestCase("""{ "MaxRequestBodySize": -1, "Pool": "web" }""", "MaxRequestBodySize: '-1' is out of range; *")]
    [TestCase("""{ "Timeouts": { "Total": "00:00:00" }, "Pool": "web" }""", "Timeouts:Total: '00:00:00' is out of range; *")]
    [TestCase("""{ "Retry": { "Attempts": 0 }, "Pool": "web" }""", "Retry:Attempts: '0' is out of range; *")]
    [TestCase("""{ "Path": "/%61pi", "Pool": "web" }""",
        "Path: '/%61pi' can never match, for it is compared with decoded paths; expected '/api'")]
    [TestCase("""{ "Path": "/a%2fb", "Pool": "web" }""",
        "Path: '/a%2fb' can never match, for it is compared with decoded paths; expected '/a%2Fb'")]
    [TestCase("""{ "Path": "/a/../b", "Pool": "web" }""",
        "Path: '/a/../b' can never match, for it is compared with decoded paths; expected '/b'")]
    [TestCase("""{ "Host": "a.test.", "Pool": "web" }""", "Host: 'a.test.' is not a host name; *")]
    [TestCase("""{ "Host": "::1", "Pool": "web" }""", "Host: '::1' is not a host name; *")]
    [TestCase("""{ "Host": "[a.test]", "Pool": "web" }""", "Host: '[a.test]' is not a host name; *")]
    [TestCase("""{ "Host": "b\u00fccher.test", "Pool": "web" }""", "Host: 'b\u00fccher.test' is not a host name; *")]
    [TestCase("""{ "HostHeader": "http://a.test/x", "Pool": "web" }""", "HostHeader: 'http://a.test/x' is not a host; *")]
    [TestCase("""{ "HostHeader": "a@b", "Pool": "web" }""", "HostHeader: 'a@b' is not a host; *")]
    [TestCase("""{ "Respond": { "ContentType": "a\nb" } }""", "Respond:ContentType: cannot be sent; expected for example text/html")]
    [TestCase("""{ "Respond": { "ContentType": "\u2192" } }""", "Respond:ContentType: cannot be sent; expected for example text/html")]
    [TestCase("""{ "Redirect": { "To": "https://a.test/b c" } }""",
        "Redirect:To: has a character that an address cannot have; expected it percent-encoded")]
    [TestCase("""{ "Redirect": { "To": "https://a.test/\u00fc" } }""",
        "Redirect:To: has a character that an address cannot have; expected it percent-encoded")]
    [TestCase("""{ "Rewrite": { "Pattern": "a", "To": "/b c" }, "Pool": "web" }""",
        "Rewrite:To: has a character that an address cannot have; expected it percent-encoded")]
    [TestCase("""{ "RequestHeaders": { "Set": { "X-A": "\u2192" } }, "Pool": "web" }""",
        "RequestHeaders:Set:X-A: has a character that a field cannot have")]
    public void Load_AFault_SaysWhereAndWhat(string route, string error)
    {
        error = error.StartsWith(':') ? error : ":" + error;

        Errors(route).Should().ContainSingle().Which.Should().Match($"LoadBalancer:Listeners:web:Routes:0{error}");
    }

    [TestCase("shop.example.com")]
    [TestCase("*.example.com")]
    [TestCase("xn--bcher-kva.example")]
    [TestCase("[::1]")]
    [TestCase("10.0.0.1")]
    [TestCase("my_host")]
    public void Load_Host_IsAllowed(string host) => Errors($$"""{ "Host": "{{host}}", "Pool": "web" }""").Should().BeEmpty();

    [TestCase("a.test:8080")]
    [TestCase("[::1]:80")]
    [TestCase("backend")]
    public void Load_HostHeader_IsAllowed(string host) => Errors($$"""{ "HostHeader": "{{host}}", "Pool": "web" }""").Should().BeEmpty();

    private List<string> Errors(string routes)
    {
        File.WriteAllText(_file, $$"""
            { "LoadBalancer": {
                "Listeners": { "web": { "Address": "http://127.0.0.1:8080", "Pool": "web", "Routes": [ {{routes}} ] } },
                "Pools": { "web": { "Backends": { "b": { "Address": "http://127.0.0.1:3000" } } },
                           "api": { "Backends": { "b": { "Address": "http://127.0.0.1:3001" } } } } } }
            """);
        return [.. ConfigurationLoader.Load(_file).Errors.Select(error => $"{error with { Line = null }}")];
    }
}
