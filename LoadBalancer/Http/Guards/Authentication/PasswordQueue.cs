using System.Collections.Concurrent;
using LoadBalancer.Transport;

namespace LoadBalancer.Http.Guards.Authentication;

/// <summary>
/// Checks passwords one after the other, on a thread of its own that gives way to all others: a check takes tens of milliseconds, and
/// an attacker who sends wrong passwords decides how many checks there are.
/// </summary>
internal sealed class PasswordQueue
{
    private const int MaxWaiting = 256;
    private const int MaxWaitingOfOneClient = 4;
    private const int LowPriority = 10; // "nice"

    private static readonly Lazy<PasswordQueue> Only = new(() => new PasswordQueue());

    private readonly BlockingCollection<(string Password, IEnumerable<string> Hashes, TaskCompletionSource<bool> Result)> _waiting = [];
    private readonly ConcurrentDictionary<ulong, int> _clients = new();

    private PasswordQueue() => new Thread(Run) { IsBackground = true, Name = "passwords" }.Start();

    /// <summary>The only one of this process.</summary>
    public static PasswordQueue Shared => Only.Value;

    /// <summary>Checks a password.</summary>
    /// <param name="password">The password.</param>
    /// <param name="hashes">Bcrypt hashes; the first is that of the password, the others take time where it is wrong.</param>
    /// <param name="client">Who sends it; a client can have a few checks at once.</param>
    /// <returns>Whether it is right; null where too many wait.</returns>
    public async ValueTask<bool?> CheckAsync(string password, IEnumerable<string> hashes, ulong client)
    {
        try
        {
            if (_clients.AddOrUpdate(client, 1, static (_, count) => count + 1) > MaxWaitingOfOneClient || _waiting.Count >= MaxWaiting)
            {
                return null;
            }
            var result = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
            _waiting.Add((password, hashes, result));
            return await result.Task;
        }
        finally
        {
            if (_clients.AddOrUpdate(client, 0, static (_, count) => count - 1) == 0)
            {
                _clients.TryRemove(new(client, 0));
            }
        }
    }

    private void Run()
    {
        if (OperatingSystem.IsLinux())
        {
            _ = Libc.SetPriority(0, 0, LowPriority); // Of this thread. Where it is not allowed, it works without.
        }
        foreach (var (password, hashes, result) in _waiting.GetConsumingEnumerable())
        {
            try
            {
                result.SetResult(hashes.Index().Any(hash => BCrypt.Net.BCrypt.Verify(password, hash.Item) && hash.Index == 0));
            }
            catch (Exception e)
            {
                result.SetException(e);
            }
        }
    }
}
