using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Acme;

/// <summary>The account with an authority, whose key is in the store.</summary>
/// <param name="options">Where from, and where it is kept.</param>
/// <param name="store">The store.</param>
/// <param name="registering">One at a time: the first name makes the account, the others find it.</param>
/// <param name="parts">What all names have in common.</param>
internal sealed partial class AcmeAccount(AcmeOptions options, AcmeStore store, SemaphoreSlim registering, KeptNameParts parts)
{
    private readonly ILogger _logger = parts.Logger;

    /// <summary>Lets a client use the account; makes it where there is none, or none that can be used.</summary>
    /// <returns>Its key.</returns>
    /// <exception cref="AcmeException">The authority refuses it.</exception>
    /// <exception cref="IOException">The key cannot be read or written. Others for files are possible too.</exception>
    public async Task<AccountKey> RegisterAsync(AcmeClient client, CancellationToken cancellationToken)
    {
        await registering.WaitAsync(cancellationToken);
        try
        {
            var key = store.FindAccountKey(out var fault);
            if (key is not null)
            {
                fault = await WhyRefusedAsync(client, key, cancellationToken);
            }
            if (key is not null && fault is null)
            {
                return key;
            }
            var other = await RegisterNewAsync(client, cancellationToken);
            if (fault is not null)
            {
                LogNewAccount(options.Directory, fault);
                parts.Note($"account at {options.Directory}: another one was made, because {fault}");
            }
            return other;
        }
        finally
        {
            registering.Release();
        }
    }

    // The account of a key may have been deactivated; then no other can be had with the key (RFC 8555 section 7.3.6).
    private static async Task<string?> WhyRefusedAsync(AcmeClient client, AccountKey key, CancellationToken cancellationToken)
    {
        try
        {
            await client.RegisterAsync(key, cancellationToken);
            return null;
        }
        catch (AcmeException e) when (e.Kind is "unauthorized" or "accountDoesNotExist")
        {
            key.Dispose();
            return e.Message;
        }
        catch
        {
            key.Dispose();
            throw;
        }
    }

    // Kept only when the authority has taken it: one that refuses everybody must not cost the key that it will know again.
    private async Task<AccountKey> RegisterNewAsync(AcmeClient client, CancellationToken cancellationToken)
    {
        var key = AccountKey.Create();
        try
        {
            await client.RegisterAsync(key, cancellationToken);
            store.Save(key);
            return key;
        }
        catch
        {
            key.Dispose();
            throw;
        }
    }

    [LoggerMessage(223, LogLevel.Warning, "account at {Directory}: another one was made, because the old one cannot be used: {Reason}")]
    private partial void LogNewAccount(string directory, string reason);
}
