using System.Globalization;
using System.Text.Json.Nodes;

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
    private static readonly TimeSpan ShortestWait = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan LongestWait = TimeSpan.FromDays(1);

    // An authority may mean a week; that a wrong number stops a name for ever is not what anybody wants.
    private static readonly TimeSpan LongestWish = TimeSpan.FromDays(30);

    /// <summary>None so far.</summary>
    public static Attempt None { get; } = new(0, DateTimeOffset.MinValue, TimeSpan.Zero);

    /// <summary>How long to wait after so many failures: one minute, then each time twice that, up to a day.</summary>
    public static TimeSpan BackOff(int failures)
    {
        const int Doublings = 11; // 2^11 minutes are more than a day
        var wait = ShortestWait * (1 << Math.Clamp(failures - 1, 0, Doublings));
        return wait < LongestWait ? wait : LongestWait;
    }

    /// <summary>The next one, which counts as failed until it is known to have succeeded.</summary>
    public Attempt Next(DateTimeOffset now) => new(Failures + 1, now, BackOff(Failures + 1));

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

    /// <summary>Before which time there is no other one. Where the clock was set back, it waits from now on.</summary>
    public DateTimeOffset NotBefore(DateTimeOffset now) => (At < now ? At : now) + Wait;

    /// <summary>As text.</summary>
    public JsonObject ToJson() => new()
    {
        ["failures"] = Failures,
        ["at"] = At.UtcDateTime.ToString("O", CultureInfo.InvariantCulture),
        ["waitSeconds"] = Math.Ceiling(Wait.TotalSeconds),
    };

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
