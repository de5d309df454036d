using System.Numerics;

namespace Worker;

/// <summary>The work of this worker. Change <see cref="Process"/> to make it do something else.</summary>
internal static class SumTask
{
    /// <summary>Works on one task: adds numbers that are separated by commas.</summary>
    /// <param name="data">For example <c>1,2,3,4,5</c>.</param>
    /// <returns>The result, in one line; and a remark for the worker's output.</returns>
    public static (string Result, string Remark) Process(string data)
    {
        var numbers = new List<BigInteger>();
        foreach (var text in data.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            if (!BigInteger.TryParse(text, out var number))
            {
                return ($"ERROR: '{text}' is not a whole number", $"'{text}' no es un número entero");
            }
            numbers.Add(number);
        }
        var sum = numbers.Aggregate(BigInteger.Zero, (total, number) => total + number);
        return ($"{sum}", $"suma de [{string.Join(", ", numbers)}] = {sum}");
    }
}
