using LoadBalancer.Acme;
using Microsoft.AspNetCore.Http;

namespace LoadBalancer.Tests.Acme;

/// <summary>Which requests of an authority are answered.</summary>
internal sealed class ChallengesTests
{
    [TestCase("GET", "/.well-known/acme-challenge/mine", true)]
    [TestCase("HEAD", "/.well-known/acme-challenge/mine", true)]
    [TestCase("POST", "/.well-known/acme-challenge/mine", false)]
    [TestCase("GET", "/.well-known/acme-challenge/other", false)]
    [TestCase("GET", "/.well-known/acme-challenge/", false)]
    [TestCase("GET", "/.well-known/acme-challenge/mine/", false)]
    [TestCase("GET", "/mine", false)]
    public async Task Answer_OnlyTokensOfThisNode_AreAnswered(string method, string path, bool isAnswered)
    {
        var challenges = new Challenges();
        using var body = new MemoryStream();
        var context = new DefaultHttpContext { Request = { Method = method, Path = path }, Response = { Body = body } };

        using (challenges.Publish("mine", "mine.thumbprint"))
        {
            var answer = challenges.Answer(context);
            (answer is not null).Should().Be(isAnswered);
            await (answer ?? Task.CompletedTask);
        }

        System.Text.Encoding.ASCII.GetString(body.ToArray()).Should().Be(isAnswered && method == "GET" ? "mine.thumbprint" : "");
        challenges.Answer(context).Should().BeNull("the order has ended");
    }

    [TestCase("abc-_09", true)]
    [TestCase("", false)]
    [TestCase("a/b", false)]
    [TestCase("..", false)]
    public void IsToken_Text_IsOneOfItsCharactersOnly(string text, bool isToken) => Challenges.IsToken(text).Should().Be(isToken);
}
