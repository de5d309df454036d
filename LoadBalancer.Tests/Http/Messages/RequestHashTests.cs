using System.Net;
using LoadBalancer.Http.Messages;
using LoadBalancer.Pools;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;

namespace LoadBalancer.Tests.Http.Messages;

internal sealed class RequestHashTests
{
    private static readonly IPAddress Client = IPAddress.Parse("192.0.2.7");

    [TestCase("Client", true)]
    [TestCase("Path", true)]
    [TestCase("Header:X-User", true)]
    [TestCase("Cookie:cart", true)]
    [TestCase("Query:a b", true)]
    [TestCase("Header:", false)]
    [TestCase("Header:X User", false)]
    [TestCase("Cookie:a=b", false)]
    [TestCase("Query:", false)]
    [TestCase("Query", false)]
    [TestCase("Path:/", false)]
    [TestCase("Client:", false)]
    [TestCase("Host", false)]
    [TestCase("client", false)]
    [TestCase("", false)]
    public void IsValid_Text_SaysWhetherItIsAKey(string key, bool isValid) => RequestHash.IsValid(key).Should().Be(isValid);

    [TestCase("Header:X-User", "ann")]
    [TestCase("Cookie:cart", "c1")]
    [TestCase("Query:user", "b c")]
    [TestCase("Query:größe", "ä")]
    [TestCase("Path", "/a%2Fb/../c")]
    public void Of_RequestWithTheKey_IsTheHashOfItsValue(string key, string value) =>
        new RequestHash(key).Of(Request(), Client).Should().Be(ClientHash.OfText(value));

    [TestCase("Client")]
    [TestCase("Header:X-Other")]
    [TestCase("Header:X-Empty")]
    [TestCase("Cookie:other")]
    [TestCase("Cookie:empty")]
    [TestCase("Cookie:Cart")] // names of cookies are compared exactly
    [TestCase("Cookie:car")]
    [TestCase("Query:other")]
    [TestCase("Query:empty")]
    [TestCase(null)]
    public void Of_RequestWithoutTheKey_IsTheHashOfTheClient(string? key) =>
        new RequestHash(key).Of(Request(), Client).Should().Be(ClientHash.Of(Client));

    [Test]
    public void Of_ManyValues_AreSpreadEvenly()
    {
        var request = Request();
        var hash = new RequestHash("Header:X-User");
        var quarters = new int[4];
        for (var i = 0; i < 10_000; i++)
        {
            request.Headers["X-User"] = $"user{i}";
            quarters[hash.Of(request, Client) >> 62]++;
        }

        quarters.Should().OnlyContain(count => count > 2300 && count < 2700);
    }

    [TestCase("Header:X-User")]
    [TestCase("Cookie:cart")]
    [TestCase("Query:plain")]
    [TestCase("Path")]
    public void Of_ValueWithoutEscapes_AllocatesNothing(string key)
    {
        var (request, hash) = (Request(), new RequestHash(key));
        hash.Of(request, Client);
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < 1000; i++)
        {
            hash.Of(request, Client);
        }

        (GC.GetAllocatedBytesForCurrentThread() - before).Should().BeLessThan(1000, "that would be a byte a request");
    }

    private static HttpRequest Request()
    {
        var request = new DefaultHttpContext().Request;
        request.Headers["X-User"] = new(["", "ann", "bob"]);
        request.Headers["X-Empty"] = "";
        request.Headers.Cookie = new(["a=b; cart=; empty=", "cart=c1; cart=c2"]);
        request.QueryString = new QueryString("?plain=p&empty=&us%65r=b+c&user=d&gr%C3%B6%C3%9Fe=%C3%A4");
        request.HttpContext.Features.Get<IHttpRequestFeature>()!.RawTarget = "/a%2Fb/../c?user=d";
        return request;
    }
}
