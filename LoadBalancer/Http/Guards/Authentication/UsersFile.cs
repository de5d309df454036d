using System.Collections.Frozen;
using System.Text.RegularExpressions;

namespace LoadBalancer.Http.Guards.Authentication;

/// <summary>The users of a file with lines <c>name:hash</c>. Empty lines and those that begin with <c>#</c> do not count.</summary>
/// <param name="Hashes">The bcrypt hashes, by the name.</param>
internal sealed partial record UsersFile(FrozenDictionary<string, string> Hashes)
{
    // Each step doubles the time: this one takes about a second.
    private const int HighestCost = 14;

    private const int LowestCost = 4;

    private readonly int _cost = Hashes.Values.Select(CostOf).DefaultIfEmpty(10).Max();

    /// <summary>
    /// The hashes that a password is checked against, until it is right: first the user's, then some of no known password. Whether there is
    /// such a user or not, and however cheap the hash is, a wrong password costs as much as the most expensive hash of the file.
    /// </summary>
    /// <param name="hash">The user's hash; null where there is no such user.</param>
    public IEnumerable<string> Checks(string? hash) =>
        hash is null ? [Dummy(_cost)] : Enumerable.Range(CostOf(hash), _cost - CostOf(hash)).Select(Dummy).Prepend(hash);

    /// <summary>Reads a file's text.</summary>
    /// <exception cref="FormatException">It is not valid; the message says where.</exception>
    public static UsersFile Parse(string text)
    {
        var hashes = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (i, line) in text.TrimStart('\uFEFF').Split('\n').Index())
        {
            var entry = line.TrimEnd('\r');
            if (entry.Length == 0 || entry.StartsWith('#'))
            {
                continue;
            }
            var colon = entry.IndexOf(':', StringComparison.Ordinal);
            if (colon <= 0 || !Hash().IsMatch(entry[(colon + 1)..]))
            {
                throw new FormatException($"line {i + 1} is not a name, a colon and a bcrypt hash, as htpasswd -B writes them");
            }
            if (CostOf(entry[(colon + 1)..]) < LowestCost)
            {
                throw new FormatException($"line {i + 1} has a cost below {LowestCost}, which bcrypt does not have");
            }
            if (CostOf(entry[(colon + 1)..]) > HighestCost)
            {
                throw new FormatException($"line {i + 1} has a cost above {HighestCost}, which takes seconds to check");
            }
            if (!hashes.TryAdd(entry[..colon], entry[(colon + 1)..]))
            {
                throw new FormatException($"line {i + 1} has a name that stands in the file already");
            }
        }
        return new UsersFile(hashes.ToFrozenDictionary(StringComparer.Ordinal));
    }

    // Each step of the cost doubles the time: 2^c + 2^c + 2^(c+1) + … + 2^(n-1) = 2^n.
    private static string Dummy(int cost) => $"$2y${cost:D2}$abcdefghijklmnopqrstuuKNKa7TLwYUmd7IxA3drk/NBSQ6ICtUi";

    private static int CostOf(string hash) => int.Parse(hash.AsSpan(4, 2), System.Globalization.CultureInfo.InvariantCulture);

    [GeneratedRegex(@"^\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53}\z")]
    private static partial Regex Hash();
}
