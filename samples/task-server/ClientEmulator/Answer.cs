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

    /// <summary>Tries to add something that is not a task; the answer must be 400.</summary>
    Invalid,

    /// <summary>Reads a task that does not exist; the answer must be 404.</summary>
    Missing,
}

/// <summary>The result of a request; status 0 means that there was no answer.</summary>
internal readonly record struct Answer(Kind Kind, int Status, TimeSpan Elapsed)
{
    /// <summary>The status that a request of this kind must get.</summary>
    public int Expected => Kind switch
    {
        Kind.Add => 201,
        Kind.Invalid => 400,
        Kind.Missing => 404,
        _ => 200,
    };
}
