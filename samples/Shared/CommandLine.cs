using System.CommandLine;
using System.CommandLine.Invocation;
using System.Globalization;
using System.Net;

namespace Samples;

/// <summary>The command lines of the samples' programs: options whose values are checked, and how a program is run.</summary>
internal static class CommandLine
{
    /// <summary>Reads a value; false where the text is not one.</summary>
    public delegate bool TryParse<T>(string text, out T value);

    /// <summary>An option with a text.</summary>
    public static Option<string> Text(string name, string helpName, string description, string defaultValue) =>
        new(name) { Description = description, HelpName = helpName, DefaultValueFactory = _ => defaultValue };

    /// <summary>An option with a number of seconds, which may have a fraction.</summary>
    public static Option<double> Seconds(string name, string description, double defaultValue = 0)
    {
        var option = Value("seconds, for example 0.5", name, "S", description, (string text, out double value) =>
            double.TryParse(text, CultureInfo.InvariantCulture, out value) && value is >= 0 and <= 86_400);
        option.DefaultValueFactory = _ => defaultValue;
        return option;
    }

    /// <summary>An option with a whole number.</summary>
    /// <param name="name">With its dashes.</param>
    /// <param name="description">One sentence; the range is added to it.</param>
    /// <param name="defaultValue">The value where it is not given; may lie outside the range.</param>
    /// <param name="most">The largest number that is accepted; the smallest is 1.</param>
    public static Option<int> Number(string name, string description, int defaultValue, int most)
    {
        var option = Value($"1 to {most}", name, "N", $"{description} 1 to {most}.", (string text, out int value) =>
            int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out value) && value >= 1 && value <= most);
        option.DefaultValueFactory = _ => defaultValue;
        return option;
    }

    /// <summary>An option with an address and a port, which must be given.</summary>
    public static Option<IPEndPoint> EndPoint(string name, string description)
    {
        var option = Value("IP:PORT, for example 127.0.0.1:8000", name, "IP:PORT", description, (string text, out IPEndPoint value) =>
            IPEndPoint.TryParse(text, out value!) && value.Port > 0);
        option.Required = true;
        return option;
    }

    /// <summary>An option with a value that is checked.</summary>
    /// <param name="expected">What a value looks like, for the error message.</param>
    /// <param name="name">With its dashes.</param>
    /// <param name="helpName">What the help calls the value.</param>
    /// <param name="description">One sentence.</param>
    /// <param name="tryParse">Reads the value.</param>
    public static Option<T> Value<T>(string expected, string name, string helpName, string description, TryParse<T> tryParse) => new(name)
    {
        Description = description,
        HelpName = helpName,
        CustomParser = result =>
        {
            var text = result.Tokens[0].Value;
            if (!tryParse(text, out var value))
            {
                result.AddError($"{name}: '{text}' is not valid; expected {expected}");
            }
            return value;
        },
    };

    /// <summary>Reads the arguments and runs the program; the token is cancelled by Ctrl+C and SIGTERM.</summary>
    /// <returns>The exit code.</returns>
    public static Task<int> RunAsync(RootCommand command, string[] args, Func<ParseResult, CancellationToken, Task<int>> program)
    {
        command.SetAction(program);
        var parsed = command.Parse(args);
        if (parsed.Action is ParseErrorAction errors)
        {
            errors.ShowHelp = false; // Only the errors: several programs may share the terminal.
        }
        return parsed.InvokeAsync();
    }
}
