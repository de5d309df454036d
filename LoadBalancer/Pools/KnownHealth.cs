namespace LoadBalancer.Pools;

/// <summary>What is known about the health of a backend, for the process that replaces this one. What is missing is unknown.</summary>
internal sealed class KnownHealth
{
    /// <summary>What the last probes have shown; null where it is not probed, or no result is there yet.</summary>
    public bool? IsProbedUp { get; set; }

    /// <summary>What the last probe has found.</summary>
    public string? ProbeReason { get; set; }

    /// <summary>Whether expected heartbeats do not come; null where none are expected.</summary>
    public bool? IsSilent { get; set; }

    /// <summary>What is known about its heartbeats.</summary>
    public string? HeartbeatReason { get; set; }

    /// <summary>How long it stays ejected, in seconds; null where it is not.</summary>
    public double? EjectionLeft { get; set; }

    /// <summary>How long its last ejection lasts or has lasted, in seconds.</summary>
    public double Ejection { get; set; }

    /// <summary>Whether it is ejected because attempts failed, rather than because it could not be connected to.</summary>
    public bool IsEjectedForFailures { get; set; }

    /// <summary>Whether it is ejected because the others of its pool did better.</summary>
    public bool IsEjectedAsOutlier { get; set; }

    /// <summary>Why it is ejected.</summary>
    public string? EjectionReason { get; set; }

    /// <summary>How many ejections have followed each other soon.</summary>
    public int Ejections { get; set; }

    /// <summary>How long ago the last ejection has ended, in seconds.</summary>
    public double SinceEjection { get; set; }
}
