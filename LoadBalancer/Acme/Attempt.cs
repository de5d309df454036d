using System.Globalization;
using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Acme;

/// <summary>
/// The last attempt to get a certificate, as it is kept in the store: a process that is restarted again and again waits like one that is
/// not.
/// </summary>
/// <param name="Failures">How many have failed one after another, this one too; one that was cut off has failed.</param>
/// <param name="At">When it was.</param>
/// <param name="Wait">How long to wait after it.</param>
internal sealed record Attempt(int Failures, DateTimeOffset At, TimeSpan Wait)
{
    /// <summary>How long to wait at least before another one.</summary>
    public static readonly TimeSpan ShortestWait = TimeSpan.FromMinutes(1);

    private const double Spread = 0.1; // of a wait

    private static readonly TimeSpan LongestWait = TimeSpan.FromDays(1);

    // An authority may mean a week; that a wrong number stops a name for ever is not what anybody wants.
    private static readonly TimeSpan LongestWish = TimeSpan.FromDays(30);

    /// <summary>None so far.</summary>
    public static Attempt None { get; } = new(0, DateTimeOffset.MinValue, TimeSpan.Zero);

    /// <summary>How long to wait after so many failures: one minute, then each time twice that, up to a day.</summary>
    /// <param name="failures">How many.</param>
    /// <param name="place">From 0 to 1: of names that failed together, each waits a bit longer than another one.</param>
    public static TimeSpan BackOff(int failures, double place)
    {
        const int Doublings = 11; // 2^11 minutes are more than a day
        var wait = ShortestWait * (1 << Math.Clamp(failures - 1, 0, Doublings));
        var most = LongestWait / (1 + Spread);
        return (wait < most ? wait : most) * (1 + Spread * place);
    }

    /// <summary>The next one, which counts as failed until it is known to have succeeded.</summary>
    public Attempt Next(DateTimeOffset now, double place) => new(Failures + 1, now, BackOff(Failures + 1, place));

    /// <summary>This one, after another one that was given up by this process and not refused by anybody.</summary>
    public Attempt AfterOneGivenUp(DateTimeOffset now) => this with { At = now, Wait = ShortestWait };

    /// <summary>This one, where the authority wishes a wait: the longer of the two holds.</summary>
    public Attempt Wishing(TimeSpan? wish, DateTimeOffset now)
    {
        var wished = wish is null ? TimeSpan.Zero : wish < LongestWish ? wish.Value : LongestWish;
        return this with { At = now, Wait = wished > Wait ? wished : Wait };
    }

    /// <summary>
    /// What to keep after a success: a certificate that seems to have to be renewed already, by a wrong clock, is not ordered at once.
    /// </summary>
    public static Attempt Succeeded(DateTimeOffset now, TimeSpan lifetime)
    {
        const int Share = 10;
        var wait = lifetime / Share;
        return new Attempt(0, now, wait < ShortestWait ? ShortestWait : wait < LongestWait ? wait : LongestWait);
    }

    /// <summary>Before which time there is no other one.</summary>
    public DateTimeOffset NotBefore => At + Wait;

    /// <summary>
    /// Whether it seems to be yet to come, and not only by the difference of the clocks of two nodes: the clock was set back since.
    /// </summary>
    public bool IsOfWrongClock(DateTimeOffset now) => At > now + ShortestWait;

    /// <summary>As text.</summary>
    public string ToText() => JsonText.Of(new JsonObject
    {
        ["failures"] = Failures,
        ["at"] = At.UtcDateTime.ToString("O", CultureInfo.InvariantCulture),
        ["waitSeconds"] = Math.Ceiling(Wait.TotalSeconds),
    }) + "\n";

    /// <summary>Reads one; null where the text is none.</summary>
    public static Attempt? Read(string text)
    {
        var json = AcmeAnswer.TryParse(text);
        return json?["failures"] is JsonValue failures && failures.TryGetValue<int>(out var count) && count >= 0
            && json["waitSeconds"] is JsonValue wait && wait.TryGetValue<double>(out var seconds)
            && seconds >= 0 && seconds <= LongestWish.TotalSeconds
            && DateTimeOffset.TryParse(AcmeAnswer.Find(json, "at"), CultureInfo.InvariantCulture, out var at)
            ? new Attempt(count, at, TimeSpan.FromSeconds(seconds)) : null;
    }
}
