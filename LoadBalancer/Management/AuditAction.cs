namespace LoadBalancer.Management;

/// <summary>What operators do, as the audit names it.</summary>
internal static class AuditAction
{
    /// <summary>Settings of a pool or a backend were changed.</summary>
    public const string Patch = "patch";

    /// <summary>A backend was added or replaced.</summary>
    public const string Put = "put";

    /// <summary>A backend was removed.</summary>
    public const string Delete = "delete";

    /// <summary>Another change was undone.</summary>
    public const string Undo = "undo";

    /// <summary>The configuration file was applied.</summary>
    public const string Reload = "reload";

    /// <summary>The process was to be replaced by another one.</summary>
    public const string Upgrade = "upgrade";

    /// <summary>A configuration was pushed to all nodes of the cluster.</summary>
    public const string Push = "push";

    /// <summary>A configuration that had been pushed before was pushed again.</summary>
    public const string Rollback = "rollback";
}
