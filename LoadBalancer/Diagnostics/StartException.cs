namespace LoadBalancer.Diagnostics;

/// <summary>A node cannot start, for a reason that shows only when it tries; the message is for the user, in one line.</summary>
public sealed class StartException(string message, Exception inner) : Exception(message, inner);
