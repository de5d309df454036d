using System.Text;
using LoadBalancer.Tasks;

namespace LoadBalancer.Tests.Tasks;

internal sealed class LineBufferTests
{
    [Test]
    public void TryTake_AnyLinesInAnyPieces_GivesTheLines()
    {
        for (var seed = 0; seed < 200; seed++)
        {
            var random = new Random(seed);
            var lines = Enumerable.Range(0, random.Next(1, 60))
                .Select(_ => new string((char)random.Next('a', 'z'), random.Next(10) == 0 ? random.Next(30_000) : random.Next(100)))
                .ToList();
            var bytes = Encoding.UTF8.GetBytes(string.Concat(lines.Select(line => line + (random.Next(2) == 0 ? "\n" : "\r\n"))));

            using var buffer = new LineBuffer(30_000);
            var taken = new List<string>();
            for (var sent = 0; sent < bytes.Length;)
            {
                var room = buffer.Room;
                var piece = Math.Min(Math.Min(room.Length, bytes.Length - sent), random.Next(3) == 0 ? 1 : random.Next(1, 5000));
                bytes.AsMemory(sent, piece).CopyTo(room);
                buffer.Add(piece);
                sent += piece;
                while (buffer.TryTake(out var line))
                {
                    taken.Add(Encoding.UTF8.GetString(line));
                }
                buffer.IsTooLong.Should().BeFalse();
            }

            taken.Should().Equal(lines, $"seed {seed}");
            buffer.IsEmpty.Should().BeTrue();
        }
    }

    [TestCase("12345678\n", false)]
    [TestCase("12345678\r\n", false)]
    [TestCase("12345678", false)]
    [TestCase("12345678\r", false)]
    [TestCase("123456789", true)]
    [TestCase("123456789\n", true)]
    [TestCase("12345678\rx", true)]
    [TestCase("a\n123456789", true)]
    public void IsTooLong_OfALimitOf8_CountsAllButTheEnd(string text, bool expected)
    {
        foreach (var atOnce in new[] { true, false })
        {
            Whether(text, atOnce).Should().Be(expected);
        }
    }

    private static bool Whether(string text, bool atOnce)
    {
        using var buffer = new LineBuffer(8);

        foreach (var piece in atOnce ? [text] : text.Select(c => c.ToString()))
        {
            Encoding.UTF8.GetBytes(piece, buffer.Room.Span);
            buffer.Add(piece.Length);
            while (buffer.TryTake(out _))
            {
            }
            if (buffer.IsTooLong)
            {
                break;
            }
        }

        return buffer.IsTooLong;
    }
}
