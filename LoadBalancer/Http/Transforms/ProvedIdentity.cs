using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace LoadBalancer.Http.Transforms;

/// <summary>Who a client is, as a guard has proved.</summary>
/// <param name="User">The name.</param>
/// <param name="Dropped">Names of fields of the request that the backend does not get.</param>
/// <param name="Fields">Fields that it gets instead.</param>
internal sealed record ProvedIdentity(string User, IReadOnlyList<string> Dropped, IReadOnlyList<(string Name, string Value)> Fields)
{
    private const string CommonName = "2.5.4.3"; // RFC 4519 section 2.3

    /// <summary>Nobody in particular.</summary>
    public static readonly ProvedIdentity Nobody = new("", [], []);

    /// <summary>
    /// The identity that an accepted certificate proves: its subject's common name. Where it has none, or several, of which others might
    /// read another one, that is nobody in particular.
    /// </summary>
    public static ProvedIdentity Of(X509Certificate2 certificate)
    {
        try
        {
            var names = certificate.SubjectName.EnumerateRelativeDistinguishedNames()
                .Where(name => name.HasMultipleElements || name.GetSingleElementType().Value == CommonName).ToList();
            return names is [{ HasMultipleElements: false } only] && only.GetSingleElementValue() is { Length: > 0 } user
                ? new ProvedIdentity(user, [], []) : Nobody;
        }
        catch (CryptographicException)
        {
            return Nobody; // The name cannot be read.
        }
    }

    /// <summary>
    /// A field's name as servers see it that turn names into variables (CGI, WSGI, PHP): they read <c>_</c> as <c>-</c>, so a client
    /// could send
    /// <c>X_User</c> beside the <c>X-User</c> that it cannot send.
    /// </summary>
    public static string AsVariable(string name) => name.Replace('_', '-');

    /// <summary>Whether the backend does not get a field.</summary>
    public bool Drops(string name)
    {
        name = AsVariable(name);
        for (var i = 0; i < Dropped.Count; i++)
        {
            if (AsVariable(Dropped[i]).Equals(name, StringComparison.OrdinalIgnoreCase))
            {
                return true;
            }
        }
        return false;
    }
}
