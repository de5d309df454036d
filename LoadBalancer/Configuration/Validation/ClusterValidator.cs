using LoadBalancer.Configuration.Options;
using LoadBalancer.Tls;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Checks how nodes act as one.</summary>
internal static class ClusterValidator
{
    private const int LongestName = 64;
    private const int ShortestSecret = 32; // characters: it is no password that somebody remembers
    private const string HowToMake = "make one with: openssl rand -base64 32, and give it to all nodes";

    /// <summary>Requires all that must hold.</summary>
    public static void Check(ClusterOptions cluster, LoadBalancerOptions all, SectionValidator section)
    {
        section.Require(cluster.Name is not null, "Name", "is missing; expected a name that all nodes of the cluster have in common");
        section.Require(cluster.Name is null || IsName(cluster.Name), "Name", $"'{cluster.Name}' is not valid; expected {Expected}");
        section.Require(IsName(cluster.NodeName), "Node", cluster.Node is null
            ? $"is missing, and the host's name, '{cluster.NodeName}', cannot be used; expected {Expected}"
            : $"'{cluster.Node}' is not valid; expected {Expected}");
        CheckAddresses(cluster.Etcd, section);
        section.Require(cluster.Username is not "", "Username", "is empty; expected the name of a user at etcd");
        section.Require(cluster.Username is null || cluster.PasswordFile is not null, "PasswordFile",
            "is missing; Username needs a file with the password");
        section.Require(cluster.PasswordFile is null || cluster.Username is not null, "Username", "is missing; PasswordFile is for a user");
        if (cluster.PasswordFile is { } file)
        {
            var read = SecretFile.TryRead(file, out var reason);
            section.Require(read is not null, "PasswordFile", $"'{file}' cannot be read: {reason}");
            section.Require(read is not "", "PasswordFile", $"'{file}' is empty; expected the password");
        }
        CheckSecret(cluster.SecretFile, all, section);
        if (cluster.AuthorityFile is { } authorities)
        {
            var error = PemCertificate.FindAuthorityError(authorities);
            section.Require(error is null, "AuthorityFile", $"'{authorities}' cannot be used: {error}");
        }
        section.Require(cluster.StateDirectory is not "", "StateDirectory", "is empty; expected a directory");
        section.Require(
            !File.Exists(cluster.StateDirectory), "StateDirectory", $"'{cluster.StateDirectory}' is a file; expected a directory");
        var lease = cluster.LeaseTime;
        section.Require(
            lease >= ClusterOptions.ShortestLease && lease <= ClusterOptions.LongestLease && lease.Ticks % TimeSpan.TicksPerSecond == 0,
            "LeaseTime",
            $"'{lease}' is not valid; expected whole seconds from {ClusterOptions.ShortestLease} to {ClusterOptions.LongestLease}");
    }

    private static void CheckSecret(string? file, LoadBalancerOptions all, SectionValidator section)
    {
        var sharing = all.Listeners.FirstOrDefault(listener => listener.Value is ITlsOptions { Acme: not null }).Key;
        section.Require(file is not null || sharing is null, "SecretFile",
            $"is missing; listener '{sharing}' has Acme, and the nodes share its certificates encrypted: {HowToMake}");
        if (file is not null)
        {
            var secret = SecretFile.TryRead(file, out var reason);
            section.Require(secret is not null, "SecretFile", $"'{file}' cannot be read: {reason}; {HowToMake}");
            section.Require(secret is null || secret.Length >= ShortestSecret, "SecretFile",
                $"'{file}' has {secret?.Length} characters; expected {ShortestSecret} or more: {HowToMake}");
        }
    }

    private static string Expected => $"1 to {LongestName} letters, digits, '-', '_' and '.', for example edge";

    private static void CheckAddresses(IReadOnlyList<string> addresses, SectionValidator section)
    {
        section.Require(addresses.Count > 0, "Etcd", "is missing; expected addresses of etcd such as http://127.0.0.1:2379");
        foreach (var (i, address) in addresses.Index())
        {
            var key = addresses.Count == 1 ? "Etcd" : $"Etcd:{i}";
            section.Require(
                Uri.TryCreate(address, UriKind.Absolute, out var uri) && uri.Scheme is "http" or "https"
                    && uri is { UserInfo: "", PathAndQuery: "/", Fragment: "", Host.Length: > 0 },
                key, $"'{address}' is not valid; expected for example http://127.0.0.1:2379; a user belongs into Username");
        }
    }

    private static bool IsName(string name) =>
        name.Length is >= 1 and <= LongestName && name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.');
}
