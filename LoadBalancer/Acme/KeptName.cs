using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Net;

namespace LoadBalancer.Acme;

/// <summary>Gets the certificate of one name, and renews it, until it is stopped. What goes wrong is logged when it changes.</summary>
/// <param name="name">The name, in A-labels.</param>
/// <param name="options">Where from, and where it is kept.</param>
/// <param name="parts">What all names have in common.</param>
internal sealed partial class KeptName(string name, AcmeOptions options, KeptNameParts parts)
{
    // The clock may be set, and files may be put into the store by others.
    private static readonly TimeSpan LongestSleep = TimeSpan.FromHours(1);

    // Timers have whole milliseconds: one for a part of one falls due at once, before the time has come.
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(1);

    private static readonly TimeSpan ShortestAskAfter = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan LongestAskAfter = TimeSpan.FromDays(1);

    private readonly AcmeStore _store = new(options);
    private readonly ILogger _logger = parts.Logger;
    private Attempt _last = Attempt.None; // where the store cannot be written
    private string? _fault; // what was logged last
    private string? _storeFault;
    private RenewalInformation? _wish;
    private byte[]? _wishIsFor; // the hash of the certificate
    private DateTimeOffset _askNext;

    /// <summary>The name.</summary>
    public string Name => name;

    /// <summary>Where from, and where it is kept.</summary>
    public AcmeOptions Options => options;

    /// <summary>Runs until it is cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            var due = await DueAsync(cancellationToken);
            var left = due - parts.Time.GetUtcNow();
            left += left > TimeSpan.Zero ? Tick : TimeSpan.Zero;
            if (left > TimeSpan.Zero)
            {
                await Task.Delay(left < LongestSleep ? left : LongestSleep, parts.Time, cancellationToken);
                continue;
            }
            await OrderAsync(cancellationToken);
        }
    }

    private async Task<DateTimeOffset> DueAsync(CancellationToken cancellationToken)
    {
        using var certificate = _store.Find(name, out var fault);
        if (fault is not null && fault != _storeFault)
        {
            LogStoreFault(name, fault);
            parts.Note($"certificate of '{name}': another one is ordered, because {fault}");
        }
        _storeFault = fault;
        var now = parts.Time.GetUtcNow();
        var kept = _store.LastAttempt(name);
        var last = kept.NotBefore(now) > _last.NotBefore(now) ? kept : _last;
        if (certificate is null)
        {
            return last.Failures == 0 ? now : last.NotBefore(now);
        }
        var due = RenewalTime.Of(certificate, await WishAsync(certificate, now, cancellationToken));
        return due > last.NotBefore(now) ? due : last.NotBefore(now);
    }

    // What cannot be asked is left: then two thirds of the lifetime hold.
    private async Task<RenewalInformation?> WishAsync(X509Certificate2 certificate, DateTimeOffset now, CancellationToken cancellationToken)
    {
        var hash = certificate.GetCertHash(HashAlgorithmName.SHA256);
        var isSame = _wishIsFor is not null && hash.AsSpan().SequenceEqual(_wishIsFor);
        if (isSame && now < _askNext && _askNext - now <= LongestAskAfter)
        {
            return _wish;
        }
        (_wish, _wishIsFor) = (isSame ? _wish : null, hash);
        _askNext = now + LongestSleep;
        try
        {
            using var client = new AcmeClient(options, parts.Time);
            await client.ConnectAsync(cancellationToken);
            _wish = await client.FindRenewalAsync(certificate, cancellationToken);
            var after = _wish?.AskAfter ?? LongestAskAfter;
            _askNext = now + (after < ShortestAskAfter ? ShortestAskAfter : after < LongestAskAfter ? after : LongestAskAfter);
        }
        catch (Exception e) when (IsFault(e) && !cancellationToken.IsCancellationRequested)
        {
            _wish = null;
        }
        return _wish;
    }

    private async Task OrderAsync(CancellationToken cancellationToken)
    {
        await parts.Turns.WaitAsync(cancellationToken);
        try
        {
            var now = parts.Time.GetUtcNow();
            var kept = _store.LastAttempt(name);
            _last = (kept.Failures > _last.Failures ? kept : _last).Next(now);
            await TryOrderAsync(cancellationToken);
        }
        finally
        {
            parts.Turns.Release();
        }
    }

    private async Task TryOrderAsync(CancellationToken cancellationToken)
    {
        try
        {
            _store.Save(name, _last); // Before: a process that crashes now must not order again at once.
            using var before = _store.Find(name, out _);
            using var client = new AcmeClient(options, parts.Time);
            await client.ConnectAsync(cancellationToken);
            using var account = await RegisterAsync(client, cancellationToken);
            using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
            var chain = await client.OrderAsync(name, key, before, parts.Challenges, cancellationToken);
            _store.Save(name, chain, key);
            Succeed(chain[0]);
        }
        catch (Exception e) when (IsFault(e) && !cancellationToken.IsCancellationRequested)
        {
            Fail(e);
        }
    }

    // One at a time: the first of them makes the account.
    private async Task<AccountKey> RegisterAsync(AcmeClient client, CancellationToken cancellationToken)
    {
        await parts.Registering.WaitAsync(cancellationToken);
        var key = _store.OpenAccountKey(out var fault);
        try
        {
            if (fault is not null)
            {
                LogNewAccount(options.Directory, fault);
            }
            try
            {
                await client.RegisterAsync(key, cancellationToken);
            }
            catch (AcmeException e) when (e.Kind is "unauthorized" or "accountDoesNotExist")
            {
                // The account of this key was deactivated, and no other can be had with the key (RFC 8555 section 7.3.6).
                LogNewAccount(options.Directory, e.Message);
                key.Dispose();
                key = _store.ReplaceAccountKey();
                await client.RegisterAsync(key, cancellationToken);
            }
            return key;
        }
        catch
        {
            key.Dispose();
            throw;
        }
        finally
        {
            parts.Registering.Release();
        }
    }

    private void Succeed(X509Certificate2 certificate)
    {
        var now = parts.Time.GetUtcNow();
        DateTimeOffset begin = certificate.NotBefore.ToUniversalTime();
        DateTimeOffset end = certificate.NotAfter.ToUniversalTime();
        _last = Attempt.Succeeded(now, end - begin);
        _fault = null;
        try
        {
            _store.Save(name, _last);
        }
        catch (Exception e) when (AcmeStore.IsFault(e))
        {
            // The certificate is there, and _last holds.
        }
        LogIssued(name, options.Directory, end.UtcDateTime, RenewalTime.Of(certificate, null).UtcDateTime);
        parts.Note($"certificate of '{name}': a new one is there, valid until {end.UtcDateTime:yyyy-MM-dd HH:mm:ss}Z");
        if (now < begin || now > end)
        {
            LogWrongClock(name, begin.UtcDateTime, end.UtcDateTime);
        }
    }

    private void Fail(Exception e)
    {
        var now = parts.Time.GetUtcNow();
        _last = _last.Wishing((e as AcmeException)?.RetryAfter, now);
        try
        {
            _store.Save(name, _last);
        }
        catch (Exception fault) when (AcmeStore.IsFault(fault))
        {
            // It is perhaps what has failed; _last holds.
        }
        var reason = e is HttpRequestException or OperationCanceledException ? FailureReason.Of(e) : e.Message;
        var kind = (e as AcmeException)?.Kind ?? reason;
        if (kind == _fault)
        {
            return;
        }
        _fault = kind;
        LogFailed(name, options.Directory, reason, _last.NotBefore(now).UtcDateTime);
        parts.Note($"certificate of '{name}': none could be got: {reason}");
    }

    // Of an authority that names something that is no address, the client says so by a FormatException or InvalidOperationException.
    private static bool IsFault(Exception e) =>
        e is AcmeException or HttpRequestException or OperationCanceledException or FormatException or InvalidOperationException
        || AcmeStore.IsFault(e);

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

    [LoggerMessage(223, LogLevel.Warning, "account at {Directory}: another one is made, because the old one cannot be used: {Reason}")]
    private partial void LogNewAccount(string directory, string reason);

    [LoggerMessage(224, LogLevel.Warning,
        "certificate of '{Name}': the new one is valid from {NotBefore:yyyy-MM-dd HH:mm:ss}Z to {NotAfter:yyyy-MM-dd HH:mm:ss}Z, which "
        + "is not now; is the clock of this machine wrong?")]
    private partial void LogWrongClock(string name, DateTime notBefore, DateTime notAfter);
}
