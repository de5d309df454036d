using LoadBalancer.Configuration.Options;
using LoadBalancer.Diagnostics;

namespace LoadBalancer.Management;

/// <summary>The tokens of the management listener. Two of them are never the same: the one that comes later is refused.</summary>
internal sealed class ManagementTokens : IDisposable
{
    private readonly List<ManagementToken> _tokens = [];
    private readonly Lock _gate = new(); // held while one takes up a change

    /// <summary>Takes the tokens of the options, and watches their files until disposed.</summary>
    /// <exception cref="StartException">A file cannot be used.</exception>
    public ManagementTokens(ManagementOptions options, TimeProvider time, ILogger<ManagementToken> logger)
    {
        try
        {
            if (options.Token is { } token)
            {
                _tokens.Add(new ManagementToken(ManagementUser.OfToken, token, logger));
            }
            if (options.TokenFile is { } file)
            {
                AddFile(ManagementUser.OfToken, file);
            }
            foreach (var (name, one) in options.Tokens)
            {
                AddFile(new ManagementUser(name, one.Role), one.TokenFile);
            }
        }
        catch
        {
            Dispose();
            throw;
        }

        void AddFile(ManagementUser user, string file) => _tokens.Add(new ManagementToken(
            user, file, text => options.FindTokenError(text) ?? FindOtherError(user, text), _gate, time, logger));
    }

    /// <summary>Whether there is none, so that every request is served.</summary>
    public bool IsNone => _tokens.Count == 0;

    /// <summary>Finds a token by itself; null where it is not one of them.</summary>
    public ManagementToken? Find(string text) => Find(token => token.IsToken(text));

    /// <summary>Finds a token by the value of its cookie; null where it is none.</summary>
    public ManagementToken? FindByCookie(string text) => Find(token => token.IsCookie(text));

    /// <inheritdoc/>
    public void Dispose() => _tokens.ForEach(token => token.Dispose());

    // All are compared, also after the right one, so that the time does not tell which it is.
    private ManagementToken? Find(Func<ManagementToken, bool> isRight)
    {
        ManagementToken? found = null;
        foreach (var token in _tokens)
        {
            found = isRight(token) ? token : found;
        }
        return found;
    }

    private string? FindOtherError(ManagementUser user, string text) =>
        Find(text) is { } other && other.User != user ? $"is that of '{other.User.Name}' too; expected a token of its own" : null;
}
