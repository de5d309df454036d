using System.Globalization;

namespace LoadBalancer.Tests.Support;

/// <summary>
/// A <see cref="TestCaseAttribute"/> for text with control characters, which are written as escapes in the test's name. Left to NUnit, the
/// test has one name in the runner and another in the list of tests, and <c>dotnet test --filter</c> never runs it.
/// </summary>
[AttributeUsage(AttributeTargets.Method, AllowMultiple = true)]
internal sealed class ByteCaseAttribute : TestCaseAttribute
{
    public ByteCaseAttribute(params object?[] arguments)
        : base(arguments) => TestName = $"{{m}}({string.Join(',', arguments.Select(Display))})";

    private static string Display(object? argument) =>
        argument is string text ? $"\"{string.Concat(text.Select(Display))}\"" : Convert.ToString(argument, CultureInfo.InvariantCulture)
        ?? "null";

    private static string Display(char c) => c switch
    {
        '\r' => @"\r",
        '\n' => @"\n",
        '\0' => @"\0",
        '"' or '\\' => @"\" + c,
        _ => char.IsControl(c) || c > '~' ? $"\\x{(int)c:x2}" : c.ToString(),
    };
}
