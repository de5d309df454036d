using System.Text;
using FluentAssertions;
using LoadBalancer.Http.Headers;
using NUnit.Framework;

namespace LoadBalancer.Tests.Http.Headers;

public sealed class Latin1TextTests
{
    [Test]
    public void Write_TextOfAnyLength_IsTheSameAsByTheFramework([Range(0, 40)] int length)
    {
        var random = new Random(length);
        for (var i = 0; i < 100; i++)
        {
            var text = string.Concat(Enumerable.Range(0, length).Select(_ => (char)random.Next(0x100)));

            Written(text).Should().Equal(Encoding.Latin1.GetBytes(text));
        }
    }

    [Test]
    public void Write_CharacterThatLatin1DoesNotHave_IsTheSameAsByTheFramework(
        [Values(1, 7, 8, 9, 16, 23)] int length, [Values('\u0100', '\u20AC', '\uFF41')] char other)
    {
        for (var at = 0; at < length; at++)
        {
            var text = new string('\u00E9', at) + other + new string('b', length - at - 1);

            Written(text).Should().Equal(Encoding.Latin1.GetBytes(text));
        }
    }

    private static byte[] Written(string text)
    {
        var bytes = new byte[text.Length];
        Latin1Text.Write(text, bytes);
        return bytes;
    }
}
