using LoadBalancer.Configuration.Options;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Checks what only a Tasks listener has.</summary>
internal static class TasksListenerValidator
{
    private const int LeastLineLength = 64;
    private const int MostLineLength = 64 * 1024 * 1024;

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
        section.Require(Uri.TryCreate(listener.Queue.Uri, UriKind.Absolute, out var uri) && uri.Scheme is "amqp" or "amqps", "Queue:Uri",
            "is not valid; expected amqp://user:password@host:port"); // It may hold a password: not shown.
        section.Require(listener.Queue.Name.Length is > 0 and <= 200, "Queue:Name",
            "is empty or too long; expected 1 to 200 characters");
    }
}
