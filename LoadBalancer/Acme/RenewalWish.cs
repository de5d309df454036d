using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Acme;

/// <summary>What an authority wishes for the renewal of one name's certificate (RFC 9773); remembered as long as it holds.</summary>
/// <param name="options">Which authority.</param>
/// <param name="turns">How many names may ask at once.</param>
/// <param name="place">Of the name, from 0 to 1: names that asked together do not ask together again.</param>
/// <param name="time">The clock.</param>
internal sealed class RenewalWish(AcmeOptions options, SemaphoreSlim turns, double place, TimeProvider time)
{
    private const double Spread = 0.1; // of the time until the next question

    private static readonly TimeSpan ShortestAskAfter = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan AskAfterFault = TimeSpan.FromHours(1);
    private static readonly TimeSpan LongestAskAfter = TimeSpan.FromDays(1);

    private RenewalInformation? _wish;
    private byte[]? _isFor; // the hash of the certificate
    private DateTimeOffset _askNext;

    /// <summary>The wish; null where there is none. While the authority cannot be asked, the last one holds.</summary>
    public async Task<RenewalInformation?> FindAsync(X509Certificate2 certificate, CancellationToken cancellationToken)
    {
        var now = time.GetUtcNow();
        var hash = certificate.GetCertHash(HashAlgorithmName.SHA256);
        if (_isFor is null || !hash.AsSpan().SequenceEqual(_isFor))
        {
            (_wish, _isFor, _askNext) = (null, hash, now);
        }
        // Not after its end (section 4.3). The clock may have been set back.
        if (now > certificate.NotAfter.ToUniversalTime() || (now < _askNext && _askNext - now <= LongestAskAfter * (1 + Spread)))
        {
            return _wish;
        }
        await turns.WaitAsync(cancellationToken);
        try
        {
            _askNext = now + In(await AskAsync(certificate, cancellationToken));
        }
        finally
        {
            turns.Release();
        }
        return _wish;
    }

    /// <returns>How long to wait before the next question.</returns>
    private async Task<TimeSpan> AskAsync(X509Certificate2 certificate, CancellationToken cancellationToken)
    {
        try
        {
            using var client = new AcmeClient(options, time);
            await client.ConnectAsync(cancellationToken);
            _wish = await client.FindRenewalAsync(certificate, cancellationToken);
            return _wish?.AskAfter ?? LongestAskAfter;
        }
        catch (Exception e) when (KeptName.IsFault(e) && !cancellationToken.IsCancellationRequested)
        {
            return (e as AcmeException)?.RetryAfter ?? AskAfterFault;
        }
    }

    private TimeSpan In(TimeSpan after) => (1 + Spread * place)
        * (after < ShortestAskAfter ? ShortestAskAfter : after < LongestAskAfter ? after : LongestAskAfter);
}
