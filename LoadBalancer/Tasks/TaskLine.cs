using System.Globalization;
using System.Text;
using System.Text.Unicode;

namespace LoadBalancer.Tasks;

/// <summary>What kind of line it is.</summary>
internal enum TaskLineKind
{
    /// <summary>Not a line of the protocol; <see cref="TaskLine.Error"/> says why.</summary>
    Malformed,

    /// <summary>A client's <c>TASK|id|data</c>.</summary>
    Task,

    /// <summary>A worker's <c>REGISTER|worker</c> or <c>REGISTER|worker|capacity</c>.</summary>
    Register,

    /// <summary>A worker's <c>TASK_RESULT|id|result</c>.</summary>
    Result,
}

/// <summary>
/// One line of the protocol, without its line end. Its parts are slices of the bytes from which it was parsed. <c>|</c> separates the
/// parts; the last part may contain <c>|</c> itself; everything is UTF-8.
/// </summary>
internal readonly ref struct TaskLine
{
    /// <summary>The largest capacity with which a worker may register.</summary>
    public const int MaxCapacity = 10_000;

    /// <summary>The longest name of a worker, in bytes; names are shown and logged.</summary>
    public const int LongestName = 255;

    /// <summary>
    /// The longest id of a task, in bytes: a worker repeats it in its answer, and must not be disconnected for a line that is too long
    /// because of it.
    /// </summary>
    public const int LongestId = 1024;

    /// <summary>How much longer a worker's answer is than the client's line if the result is as long as the data.</summary>
    public const int AnswerExcess = 7; // TASK_RESULT| and TASK|

    private const byte Separator = (byte)'|';

    private TaskLine(TaskLineKind kind, ReadOnlySpan<byte> id, ReadOnlySpan<byte> data, int capacity = 1)
    {
        Kind = kind;
        Id = id;
        Data = data;
        Capacity = capacity;
        Error = "";
    }

    private TaskLine(string error) => (Kind, Error) = (TaskLineKind.Malformed, error);

    /// <summary>What kind of line it is.</summary>
    public TaskLineKind Kind { get; }

    /// <summary>The task's id, or the worker's name; never empty.</summary>
    public ReadOnlySpan<byte> Id { get; }

    /// <summary>The data of a task, or its result; may be empty.</summary>
    public ReadOnlySpan<byte> Data { get; }

    /// <summary>The capacity of a worker: how many tasks it takes at once, 1 to <see cref="MaxCapacity"/>.</summary>
    public int Capacity { get; }

    /// <summary>What is wrong with a malformed line, in words for its sender.</summary>
    public string Error { get; }

    /// <summary>Parses a line from a client.</summary>
    public static TaskLine OfClient(ReadOnlySpan<byte> line)
    {
        const string Expected = "expected TASK|id|data";
        return !Utf8.IsValid(line) ? new("the line is not UTF-8")
            : !TrySplit(line, out var command, out var rest) || !command.SequenceEqual("TASK"u8) ? new(Expected)
            : OfTask(TaskLineKind.Task, rest, Expected);
    }

    /// <summary>Parses a line from a worker.</summary>
    public static TaskLine OfWorker(ReadOnlySpan<byte> line)
    {
        return !Utf8.IsValid(line) ? new("the line is not UTF-8")
            : !TrySplit(line, out var command, out var rest)
                ? new("expected REGISTER|worker, REGISTER|worker|capacity or TASK_RESULT|id|result")
            : command.SequenceEqual("TASK_RESULT"u8) ? OfTask(TaskLineKind.Result, rest, "expected TASK_RESULT|id|result")
            : command.SequenceEqual("REGISTER"u8) ? OfRegistration(rest)
            : new("expected REGISTER|worker, REGISTER|worker|capacity or TASK_RESULT|id|result");
    }

    private static TaskLine OfTask(TaskLineKind kind, ReadOnlySpan<byte> rest, string expected) =>
        !TrySplit(rest, out var id, out var data) ? new(expected)
        : id.IsEmpty ? new($"the task id is empty; {expected}")
        : id.Length > LongestId ? new($"the task id has more than {LongestId} bytes")
        : new(kind, id, data);

    private static TaskLine OfRegistration(ReadOnlySpan<byte> rest)
    {
        var hasCapacity = TrySplit(rest, out var name, out var text);
        if (!hasCapacity)
        {
            name = rest;
        }
        if (name.IsEmpty)
        {
            return new("the worker's name is empty; expected REGISTER|worker");
        }
        if (name.Length > LongestName || ContainsControl(name))
        {
            return new($"the worker's name has control characters or more than {LongestName} bytes");
        }
        var capacity = 1;
        var isValid = !hasCapacity
            || int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out capacity) && capacity is >= 1 and <= MaxCapacity;
        return !isValid
            ? new($"the capacity is not a number from 1 to {MaxCapacity}")
            : new(TaskLineKind.Register, name, default, capacity);
    }

    // A name must not add lines to our log.
    private static bool ContainsControl(ReadOnlySpan<byte> name)
    {
        while (!name.IsEmpty)
        {
            Rune.DecodeFromUtf8(name, out var rune, out var length);
            name = name[length..];
            if (Rune.IsControl(rune)
                || Rune.GetUnicodeCategory(rune) is UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator)
            {
                return true;
            }
        }
        return false;
    }

    private static bool TrySplit(ReadOnlySpan<byte> text, out ReadOnlySpan<byte> first, out ReadOnlySpan<byte> rest)
    {
        var at = text.IndexOf(Separator);
        first = at < 0 ? default : text[..at];
        rest = at < 0 ? default : text[(at + 1)..];
        return at >= 0;
    }
}
