using System.Text;

namespace LoadBalancer.CommandLine;

/// <summary>Prints rows in columns. Where the terminal is too narrow, the widest column is cut off.</summary>
/// <param name="headings">The headings; a column whose heading begins with a blank is aligned to the right.</param>
internal sealed class Table(params string[] headings)
{
    private const string Gap = "  ";
    private const int NarrowestColumn = 8;

    private readonly List<(string[] Cells, bool IsBad)> _rows = [];

    /// <summary>Adds a row.</summary>
    /// <param name="isBad">Whether it is red on a terminal.</param>
    /// <param name="cells">One for each heading.</param>
    public void Add(bool isBad, params string[] cells) => _rows.Add((cells, isBad));

    /// <summary>Prints the table.</summary>
    /// <param name="to">Where to.</param>
    /// <param name="width">How many characters a line may have; null: any number.</param>
    /// <param name="hasColor">Whether it may be coloured.</param>
    public void Print(TextWriter to, int? width, bool hasColor)
    {
        var widths = headings
            .Select((heading, i) => _rows.Select(row => row.Cells[i].Length).Append(heading.Trim().Length).Max()).ToArray();
        while (width is { } most && widths.Sum() + Gap.Length * (widths.Length - 1) > most && widths.Max() > NarrowestColumn)
        {
            widths[Array.IndexOf(widths, widths.Max())]--;
        }
        to.WriteLine(Line([.. headings.Select(heading => heading.Trim())], widths));
        foreach (var (cells, isBad) in _rows)
        {
            var line = Line(cells, widths);
            to.WriteLine(isBad && hasColor ? $"\e[31m{line}\e[0m" : line);
        }
    }

    private string Line(string[] cells, int[] widths)
    {
        var line = new StringBuilder();
        for (var i = 0; i < cells.Length; i++)
        {
            var cell = cells[i].Length > widths[i] ? cells[i][..(widths[i] - 1)] + "…" : cells[i];
            line.Append(i == 0 ? "" : Gap).Append(headings[i].StartsWith(' ') ? cell.PadLeft(widths[i]) : cell.PadRight(widths[i]));
        }
        return line.ToString().TrimEnd();
    }
}
