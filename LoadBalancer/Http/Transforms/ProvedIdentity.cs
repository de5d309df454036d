namespace LoadBalancer.Http.Transforms;

/// <summary>Who a client is, as a guard has proved.</summary>
/// <param name="User">The name.</param>
/// <param name="Dropped">Names of fields of the request that the backend does not get.</param>
/// <param name="Fields">Fields that it gets instead.</param>
internal sealed record ProvedIdentity(string User, IReadOnlyList<string> Dropped, IReadOnlyList<(string Name, string Value)> Fields)
{
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
