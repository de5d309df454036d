using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Text.RegularExpressions;
using System.Xml;
using System.Xml.Linq;

namespace LoadBalancer.Configuration.Reading;

/// <summary>The doc comments of this program, as the compiler wrote them to a file beside it. Without that file there are none.</summary>
internal sealed partial class DocumentationFile
{
    private readonly Dictionary<string, XElement> _summaries = [];

    /// <summary>Reads the file.</summary>
    public DocumentationFile()
    {
        try
        {
            var file = XDocument.Load(Path.Combine(AppContext.BaseDirectory, typeof(DocumentationFile).Assembly.GetName().Name + ".xml"));
            foreach (var member in file.Descendants("member"))
            {
                _summaries[member.Attribute("name")!.Value] = member.Element("summary") ?? member;
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or XmlException)
        {
            // Not shipped: the schema is as right without it.
        }
    }

    /// <summary>The summary of a property, as plain text; null where it has none.</summary>
    [UnconditionalSuppressMessage("Trimming", "IL2075", Justification = "the program's own assembly is kept whole")]
    public string? Find(PropertyInfo property)
    {
        var owners = property.DeclaringType!.GetInterfaces().Prepend(property.DeclaringType);
        var summary = owners.Select(owner => _summaries.GetValueOrDefault($"P:{owner.FullName}.{property.Name}"))
            .FirstOrDefault(found => found?.Name == "summary");
        return summary is null ? null : Blanks().Replace(string.Concat(summary.Nodes().Select(Text)), " ").Trim();
    }

    private static string Text(XNode node) => node switch
    {
        XElement element when element.Attribute("cref") is { } name => name.Value.Split('.')[^1],
        XElement element => element.Value,
        XText text => text.Value,
        _ => "",
    };

    [GeneratedRegex("\\s+")]
    private static partial Regex Blanks();
}
