namespace ClientEmulator;

/// <summary>What a request is for.</summary>
internal enum Kind
{
    /// <summary>Adds a task.</summary>
    Add,

    /// <summary>Reads all tasks.</summary>
    List,

    /// <summary>Reads the task that was added last.</summary>
    Find,

    /// <summary>Adds something that is no task, to be refused with 400.</summary>
    Invalid,

    /// <summary>Reads a task that cannot be, to be told 404.</summary>
    Missing,
}

/// <summary>What became of a request; status 0 is no answer at all.</summary>
internal readonly record struct Answer(Kind Kind, int Status, TimeSpan Elapsed)
{
    /// <summary>The status that its kind is to be answered with.</summary>
    public int Expected => Kind switch
    {
        Kind.Add => 201,
        Kind.Invalid => 400,
        Kind.Missing => 404,
        _ => 200,
    };
}
