using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using LoadBalancer.Cluster;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;

namespace LoadBalancer.Acme;

/// <summary>Gets the certificate of one name, and renews it, until it is stopped. What goes wrong is logged when it changes.</summary>
/// <param name="name">The name, in A-labels.</param>
/// <param name="options">Where from, and where it is kept.</param>
/// <param name="turns">How many names may have something in work at once.</param>
/// <param name="parts">What all names have in common.</param>
internal sealed partial class KeptName(string name, AcmeOptions options, AuthorityTurns turns, KeptNameParts parts)
{
    // The clock may be set, and files may be put into the store by others.
    private static readonly TimeSpan LongestSleep = TimeSpan.FromHours(1);

    // Timers have whole milliseconds: one for a part of one falls due at once, before the time has come.
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(1);

    private readonly AcmeStore _store = new(options);
    private readonly double _place = RenewalTime.PlaceOf(name);
    private readonly RenewalWish _wish = new(options, turns.Questions, RenewalTime.PlaceOf(name), parts.Time);
    private readonly WakeUp _wake = new(parts.Time);
    private readonly ILogger _logger = parts.Logger;
    private (Attempt Last, long Since)? _odd; // an attempt of the cluster that seems to be yet to come; since when it is known here
    private Attempt? _unsaved; // where the store cannot be written; else what is in the store holds
    private long? _ordered; // when this process ordered last, by the monotonic clock
    private string? _fault; // what was logged last
    private string? _storeFault;
    private string? _unreadable;
    private string? _waiting;

    /// <summary>The name.</summary>
    public string Name => name;

    /// <summary>Where from, and where it is kept.</summary>
    public AcmeOptions Options => options;

    /// <summary>Whether an exception says what is to be expected of authorities, networks and files.</summary>
    public static bool IsFault(Exception e) =>
        e is AcmeException or HttpRequestException or OperationCanceledException || AcmeStore.IsFault(e);

    /// <summary>Looks at once whether there is something to do: another node, or somebody else, has changed a file.</summary>
    public void Wake() => _wake.Set();

    /// <summary>Runs until it is cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            TimeSpan pause;
            try
            {
                pause = await LookAsync(cancellationToken);
            }
            catch (Exception e) when (!cancellationToken.IsCancellationRequested)
            {
                pause = PauseAfter(e);
            }
            catch (Exception e) when (e is not OperationCanceledException)
            {
                throw new OperationCanceledException("It has failed while it was being stopped.", e, cancellationToken);
            }
            await _wake.WaitAsync(pause, cancellationToken);
        }
    }

    /// <returns>How long until the next look.</returns>
    private async Task<TimeSpan> LookAsync(CancellationToken cancellationToken)
    {
        var left = await LeftAsync(cancellationToken);
        return left <= TimeSpan.Zero ? await OrderAsync(cancellationToken)
            : left < LongestSleep ? left + Tick : LongestSleep;
    }

    /// <returns>How long until the certificate is to be ordered.</returns>
    private async Task<TimeSpan> LeftAsync(CancellationToken cancellationToken)
    {
        using var certificate = _store.Find(name, out var fault);
        if (fault is not null && fault != _storeFault)
        {
            LogStoreFault(name, fault);
            parts.Note($"certificate of '{name}': another one is ordered, because {fault}");
        }
        _storeFault = fault;
        var due = certificate is null ? DateTimeOffset.MinValue
            : RenewalTime.Of(certificate, await _wish.FindAsync(certificate, cancellationToken));
        var now = parts.Time.GetUtcNow();
        var last = LastAttempt(now);
        // One that has succeeded and is not there was removed: by somebody who wants another one.
        var notBefore = certificate is null && last.Failures == 0 ? last.At + Attempt.ShortestWait : last.NotBefore;
        var left = (due > notBefore ? due : notBefore) - now;
        // Whatever the store has forgotten: an authority is not asked again and again.
        var pause = _ordered is { } at ? Attempt.ShortestWait - parts.Time.GetElapsedTime(at) : TimeSpan.Zero;
        _unreadable = null;
        return left > pause ? left : pause;
    }

    private Attempt LastAttempt(DateTimeOffset now)
    {
        var stored = _store.LastAttempt(name);
        // In a cluster another node may have come after the one that could not be saved.
        var last = _unsaved is { } unsaved && unsaved.At > stored.At ? unsaved : stored;
        if (parts.Sharing is null ? last.At <= now : !last.IsOfWrongClock(now))
        {
            return last;
        }
        // The clock was set back since. It waits from now on, not until the clock has reached the wrong time again.
        if (parts.Sharing is null)
        {
            last = last with { At = now };
            Keep(last);
            return last;
        }
        // The wrong clock may be this node's, so the others must not hear of it: they would order too soon.
        if (_odd?.Last != last)
        {
            _odd = (last, parts.Time.GetTimestamp());
        }
        return last with { At = now - parts.Time.GetElapsedTime(_odd.Value.Since) };
    }

    /// <returns>How long until the next look.</returns>
    private async Task<TimeSpan> OrderAsync(CancellationToken cancellationToken)
    {
        await turns.Orders.WaitAsync(cancellationToken);
        try
        {
            var step = parts.Sharing is not { } sharing ? null : await sharing.PrepareAsync(options, name, cancellationToken);
            if (step?.IsReady == false)
            {
                return Wait(step.WhyNot);
            }
            // The wait for the turn may have been long, and another node may have been faster.
            return await LeftAsync(cancellationToken) > TimeSpan.Zero || await TryOrderAsync(step, cancellationToken)
                ? TimeSpan.Zero : Wait(step is null ? "another process orders it into the same store" : step.WhyNot);
        }
        finally
        {
            turns.Orders.Release();
        }
    }

    // It is looked at again when another node has changed something, too.
    private TimeSpan Wait(string? reason)
    {
        if (reason is not null && reason != _waiting)
        {
            _waiting = reason;
            LogWaiting(name, reason);
        }
        return Attempt.ShortestWait;
    }

    /// <returns>False if it is not the turn of this node, or of this process.</returns>
    private async Task<bool> TryOrderAsync(AcmeStep? step, CancellationToken cancellationToken)
    {
        var before = LastAttempt(parts.Time.GetUtcNow());
        var attempt = before.Next(parts.Time.GetUtcNow(), _place);
        AcmeTurn? turn = null;
        AcmeClient? client = null;
        IDisposable? claim = null;
        try
        {
            // Before: a process that crashes now must not order again at once, nor another node.
            if (step is null)
            {
                claim = _store.TryClaim(name);
                if (claim is null || LastAttempt(parts.Time.GetUtcNow()) != before)
                {
                    return claim is not null; // The other process has just ended.
                }
                _store.Save(name, attempt);
            }
            else if ((turn = await parts.Sharing!.TakeAsync(step, attempt, cancellationToken)) is null)
            {
                return false;
            }
            _waiting = null;
            client = new AcmeClient(options, parts.Time);
            Succeed(await IssueAsync(client, turn, cancellationToken));
        }
        catch (Exception e) when (!cancellationToken.IsCancellationRequested)
        {
            Fail(e, attempt);
        }
        catch (Exception) when (client?.HasFinalized != true && (step is null || turn is not null))
        {
            // It is stopped, and the authority has not refused anything. It would count as failed after a crash only.
            Keep(before.AfterOneGivenUp(parts.Time.GetUtcNow()));
            throw;
        }
        finally
        {
            _ordered = step is null || turn is not null ? parts.Time.GetTimestamp() : _ordered;
            client?.Dispose();
            claim?.Dispose();
            await (turn?.DisposeAsync() ?? ValueTask.CompletedTask);
        }
        return true;
    }

    private async Task<X509Certificate2> IssueAsync(AcmeClient client, AcmeTurn? turn, CancellationToken cancellationToken)
    {
        using var before = _store.Find(name, out _);
        await client.ConnectAsync(cancellationToken);
        using var account = await new AcmeAccount(options, _store, turns.Registering, parts).RegisterAsync(client, cancellationToken);
        parts.Sharing?.Wake(); // The account may be new.
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        if (turn is { IsSafe: false })
        {
            // Another node may be ordering.
            throw new AcmeException("turnLost", "the turn of this node to order has ended: it was cut off from etcd, or stood still");
        }
        var chain = await client.OrderAsync(name, key, before, (token, answer) => PublishAsync(turn, token, answer), cancellationToken);
        _store.Save(name, chain, key);
        return chain[0];
    }

    private async Task<IDisposable> PublishAsync(AcmeTurn? turn, string token, string answer)
    {
        var published = parts.Challenges.Publish(token, answer);
        await (turn?.PublishAsync(token, answer) ?? Task.CompletedTask);
        return published;
    }

    private void Succeed(X509Certificate2 certificate)
    {
        var now = parts.Time.GetUtcNow();
        DateTimeOffset begin = certificate.NotBefore.ToUniversalTime();
        DateTimeOffset end = certificate.NotAfter.ToUniversalTime();
        _fault = null;
        Keep(Attempt.Succeeded(now, end - begin));
        LogIssued(name, options.Directory, end.UtcDateTime, RenewalTime.Of(certificate, null).UtcDateTime);
        parts.Note($"certificate of '{name}': a new one is there, valid until {end.UtcDateTime:yyyy-MM-dd HH:mm:ss}Z");
        if (now < begin || now > end)
        {
            LogWrongClock(name, begin.UtcDateTime, end.UtcDateTime);
            parts.Note($"certificate of '{name}': the new one is not valid now; is the clock of this machine wrong?");
        }
    }

    private void Fail(Exception e, Attempt attempt)
    {
        var failed = attempt.Wishing((e as AcmeException)?.RetryAfter, parts.Time.GetUtcNow());
        Keep(failed);
        if (!IsFault(e))
        {
            LogUnexpected(e, name);
        }
        var reason = e is HttpRequestException or OperationCanceledException ? FailureReason.Of(e) : e.Message;
        var kind = (e as AcmeException)?.Kind ?? reason;
        if (kind == _fault)
        {
            return;
        }
        _fault = kind;
        LogFailed(name, options.Directory, reason, failed.NotBefore.UtcDateTime);
        parts.Note($"certificate of '{name}': none could be got: {reason}");
    }

    // Something is there, but nobody knows what: a certificate, or that it must not be ordered yet.
    private TimeSpan PauseAfter(Exception e)
    {
        if (!AcmeStore.IsFault(e))
        {
            LogUnexpected(e, name);
            return LongestSleep;
        }
        if (e.Message != _unreadable)
        {
            _unreadable = e.Message;
            LogUnreadable(name, options.Folder, e.Message);
            parts.Note($"certificate of '{name}': '{options.Folder}' cannot be read: {e.Message}");
        }
        return Attempt.ShortestWait;
    }

    private void Keep(Attempt attempt)
    {
        try
        {
            _store.Save(name, attempt);
            _unsaved = null;
            parts.Sharing?.Wake();
        }
        catch (Exception e) when (AcmeStore.IsFault(e))
        {
            _unsaved = attempt;
        }
    }

    [LoggerMessage(220, LogLevel.Information,
        "certificate of '{Name}': {Directory} has issued one; valid until {NotAfter:yyyy-MM-dd HH:mm:ss}Z, to be renewed at "
        + "{RenewAt:yyyy-MM-dd HH:mm:ss}Z")]
    private partial void LogIssued(string name, string directory, DateTime notAfter, DateTime renewAt);

    [LoggerMessage(221, LogLevel.Warning,
        "certificate of '{Name}': none could be got from {Directory}: {Reason}. The next try is at {Next:yyyy-MM-dd HH:mm:ss}Z, then less "
        + "and less often; the same reason is not logged again")]
    private partial void LogFailed(string name, string directory, string reason, DateTime next);

    [LoggerMessage(222, LogLevel.Warning, "certificate of '{Name}': {Fault}; another one is ordered")]
    private partial void LogStoreFault(string name, string fault);

    [LoggerMessage(224, LogLevel.Warning,
        "certificate of '{Name}': the new one is valid from {NotBefore:yyyy-MM-dd HH:mm:ss}Z to {NotAfter:yyyy-MM-dd HH:mm:ss}Z, which "
        + "is not now; is the clock of this machine wrong?")]
    private partial void LogWrongClock(string name, DateTime notBefore, DateTime notAfter);

    [LoggerMessage(225, LogLevel.Warning,
        "certificate of '{Name}': the store '{Folder}' cannot be read: {Reason}. It is tried again each minute, and nothing is ordered")]
    private partial void LogUnreadable(string name, string folder, string reason);

    [LoggerMessage(227, LogLevel.Warning,
        "certificate of '{Name}': it is to be ordered, and is not now: {Reason}. What is there stays in use, and it is tried again each "
        + "minute, or sooner")]
    private partial void LogWaiting(string name, string reason);

    [LoggerMessage(226, LogLevel.Error, "certificate of '{Name}': an unexpected error, no fault of the authority; please report it")]
    private partial void LogUnexpected(Exception exception, string name);
}
