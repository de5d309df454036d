using LoadBalancer.CommandLine;

namespace LoadBalancer.Tests.CommandLine;

/// <summary>How tables are printed.</summary>
internal sealed class TableTests
{
    [Test]
    public void Print_EnoughRoom_AlignsColumns() => Print(null).Should().Be("""
        NAME  WHY               N
        b1    up                5
        b2    down: no answer  10

        """);

    [Test]
    public void Print_NarrowTerminal_CutsTheWidestColumn() => Print(20).Should().Be("""
        NAME  WHY          N
        b1    up           5
        b2    down: no …  10

        """);

    [Test]
    public void Print_Color_IsThatOfBadRowsOnly() =>
        Print(null, hasColor: true).Should().Contain("\e[31mb2    down: no answer  10\e[0m\n").And.Contain("\nb1    up                5\n");

    private static string Print(int? width, bool hasColor = false)
    {
        var table = new Table("NAME", "WHY", " N");
        table.Add(false, "b1", "up", "5");
        table.Add(true, "b2", "down: no answer", "10");
        using var text = new StringWriter { NewLine = "\n" };
        table.Print(text, width, hasColor);
        return text.ToString();
    }
}
