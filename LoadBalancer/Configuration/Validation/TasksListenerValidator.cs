using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Checks what only a Tasks listener has.</summary>
internal static class TasksListenerValidator
{
    private const int LeastLineLength = 64;
    private const int MostLineLength = 64 * 1024 * 1024;
    private const long LeastBufferedBytes = 1024 * 1024;

    /// <summary>Requires all that must hold for it.</summary>
    public static void Check(string user, TasksListenerOptions listener, AddressValidator addresses, SectionValidator section)
    {
        addresses.Check(section, "Address", user, listener.Address, "tcp://127.0.0.1:8888", "tcp");
        addresses.Check(section, "WorkerAddress", user, listener.WorkerAddress, "tcp://127.0.0.1:8889", "tcp");
        section.RequireDuration(listener.TaskTimeout, "TaskTimeout");
        section.RequireDuration(listener.FirstLineTimeout, "FirstLineTimeout");
        section.RequireAtLeast(1, listener.MaxAttempts, "MaxAttempts");
        section.RequireAtLeast(1, listener.QueueLimit, "QueueLimit");
        section.Require(listener.MaxLineLength is >= LeastLineLength and <= MostLineLength, "MaxLineLength",
            $"'{listener.MaxLineLength}' is out of range; expected {LeastLineLength} to {MostLineLength} (64 MiB)");
        // A buffer may be twice as long as the line in it. Several peers must be able to send a long line at the same time.
        var longest = Math.Min(listener.MaxLineLength, MostLineLength);
        section.RequireAtLeast(Math.Max(LeastBufferedBytes, 4L * longest), listener.MaxBufferedBytes, "MaxBufferedBytes");
        section.Require(IsServer(listener.Queue.Uri), "Queue:Uri",
            "is not valid; expected amqp://host:port, "
            + "where needed with user and password before the host, percent-encoded"); // It is not shown.
        section.Require(listener.Queue.Name.Length is > 0 and <= 200, "Queue:Name",
            "is empty or too long; expected 1 to 200 characters");
    }

    // If the password has a slash or the like that is not encoded, a part of it would be taken for the host, and shown.
    private static bool IsServer(string text) =>
        Uri.TryCreate(text, UriKind.Absolute, out var uri) && uri is { Scheme: "amqp" or "amqps", Host.Length: > 0 }
        && text.Count(c => c == '@') == (uri.UserInfo.Length > 0 ? 1 : 0);
}
