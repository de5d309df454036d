using System.Collections.Concurrent;
using System.Text;

namespace LoadBalancer.Acme;

/// <summary>
/// The tokens of orders in work, and the answers to them on plain Http listeners (HTTP-01, RFC 8555 section 8.3). Every other request goes
/// on to where it would have gone.
/// </summary>
internal sealed class Challenges
{
    private const string Prefix = "/.well-known/acme-challenge/";
    private const int LongestToken = 256;

    private readonly ConcurrentDictionary<string, byte[]> _answers = new(StringComparer.Ordinal);
    private volatile Dictionary<string, byte[]> _shared = []; // of the other nodes of the cluster; replaced as a whole
    private volatile bool _isHandedOver;

    /// <summary>Whether a text has only the characters of a token (base64url, section 8.3).</summary>
    public static bool IsToken(string text) =>
        text.Length is > 0 and <= LongestToken && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_');

    /// <summary>Answers a token until the result is disposed of.</summary>
    public IDisposable Publish(string token, string answer)
    {
        _answers[token] = Encoding.ASCII.GetBytes(answer);
        return new Published(this, token);
    }

    /// <summary>All answers, for the process that replaces this one. From now on this one does not forget them either.</summary>
    public Dictionary<string, string> HandOver()
    {
        _isHandedOver = true;
        return _answers.ToDictionary(entry => entry.Key, entry => Encoding.ASCII.GetString(entry.Value), StringComparer.Ordinal);
    }

    /// <summary>Forgets answers again when their orders end: no other process has taken over.</summary>
    public void GoOn() => _isHandedOver = false;

    /// <summary>Answers what the process that this one replaces was asked to prove. It is not known for how long; they are few.</summary>
    public void Restore(IReadOnlyDictionary<string, string> answers)
    {
        foreach (var (token, answer) in answers.Where(entry => IsToken(entry.Key)))
        {
            _answers[token] = Encoding.ASCII.GetBytes(answer);
        }
    }

    /// <summary>Answers these tokens of the nodes of the cluster from now on, and those of this node all the same.</summary>
    public void Share(IReadOnlyDictionary<string, string> answers) =>
        _shared = answers.ToDictionary(entry => entry.Key, entry => Encoding.ASCII.GetBytes(entry.Value), StringComparer.Ordinal);

    /// <summary>Answers a request for a token of this node, or of one of its cluster; null for every other one.</summary>
    public Task? Answer(HttpContext context)
    {
        var path = context.Request.Path.Value;
        if (path is null || !path.StartsWith(Prefix, StringComparison.Ordinal) || context.Request.Method is not ("GET" or "HEAD")
            || (!_answers.TryGetValue(path[Prefix.Length..], out var answer) && !_shared.TryGetValue(path[Prefix.Length..], out answer)))
        {
            return null;
        }
        context.Response.ContentType = "application/octet-stream";
        context.Response.ContentLength = answer.Length;
        return context.Request.Method == "GET" ? context.Response.Body.WriteAsync(answer).AsTask() : Task.CompletedTask;
    }

    private sealed class Published(Challenges challenges, string token) : IDisposable
    {
        public void Dispose()
        {
            if (!challenges._isHandedOver)
            {
                challenges._answers.TryRemove(token, out _);
            }
        }
    }
}
