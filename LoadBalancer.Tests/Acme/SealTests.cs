using LoadBalancer.Acme;

namespace LoadBalancer.Tests.Acme;

/// <summary>What nodes share in etcd can be read only by who has the secret, and only where it was written.</summary>
[Parallelizable(ParallelScope.All)]
internal sealed class SealTests
{
    private const string Secret = "0123456789abcdef0123456789abcdef";

    private readonly Seal _seal = new(Secret, "edge");

    [TestCase("")]
    [TestCase("a text with ü")]
    public void TryOpen_WhatWasClosed_IsTheText(string text)
    {
        var sealedText = _seal.Close("/lb/edge/acme/x", text);

        new Seal(Secret, "edge").TryOpen("/lb/edge/acme/x", sealedText).Should().Be(text);
        _seal.Close("/lb/edge/acme/x", text).Should().NotBe(sealedText, "none shows that it is the same as another one");
    }

    [Test]
    public void TryOpen_AnotherSecretClusterOrKey_IsNull()
    {
        var sealedText = _seal.Close("/lb/edge/acme/x", "text");

        new Seal(Secret + "x", "edge").TryOpen("/lb/edge/acme/x", sealedText).Should().BeNull();
        new Seal(Secret, "other").TryOpen("/lb/edge/acme/x", sealedText).Should().BeNull();
        _seal.TryOpen("/lb/edge/acme/y", sealedText).Should().BeNull("it is not to be moved");
    }

    [Test]
    public void TryOpen_AnyCharacterIsChanged_IsNull()
    {
        var sealedText = _seal.Close("x", "text");

        for (var i = 0; i < sealedText.TrimEnd('=').Length - 1; i++) // Not all bits of the last character of base64 are used.
        {
            var changed = sealedText[..i] + (sealedText[i] == 'A' ? 'B' : 'A') + sealedText[(i + 1)..];
            _seal.TryOpen("x", changed).Should().BeNull(changed);
        }
    }

    [TestCase("")]
    [TestCase("1.")]
    [TestCase("1.AAAA")]
    [TestCase("1.*")]
    [TestCase("2.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    public void TryOpen_SomethingElse_IsNull(string text) => _seal.TryOpen("x", text).Should().BeNull();
}
