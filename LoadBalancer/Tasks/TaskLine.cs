using System.Globalization;
using System.Text;
using System.Text.Unicode;

namespace LoadBalancer.Tasks;

/// <summary>What a line says.</summary>
internal enum TaskLineKind
{
    /// <summary>Nothing that is known; <see cref="TaskLine.Fault"/> says why.</summary>
    Malformed,

    /// <summary>A client's <c>TASK|id|data</c>.</summary>
    Task,

    /// <summary>A worker's <c>REGISTER|worker</c> or <c>REGISTER|worker|capacity</c>.</summary>
    Register,

    /// <summary>A worker's <c>TASK_RESULT|id|result</c>.</summary>
    Result,
}

/// <summary>
/// One line of the protocol, without its end. Its parts lie in the bytes that it was read from. <c>|</c> separates, but for the last
/// part, which may have any number of it; everything is UTF-8.
/// </summary>
internal readonly ref struct TaskLine
{
    /// <summary>The most tasks that a worker may say it takes at once.</summary>
    public const int MostCapacity = 10_000;

    /// <summary>The longest name of a worker, in bytes: it is shown and logged.</summary>
    public const int LongestName = 255;

    private const byte Separator = (byte)'|';

    private TaskLine(TaskLineKind kind, ReadOnlySpan<byte> id, ReadOnlySpan<byte> data, int capacity = 1)
    {
        Kind = kind;
        Id = id;
        Data = data;
        Capacity = capacity;
        Fault = "";
    }

    private TaskLine(string fault) => (Kind, Fault) = (TaskLineKind.Malformed, fault);

    /// <summary>What it says.</summary>
    public TaskLineKind Kind { get; }

    /// <summary>The task's id, or the worker's name; never empty.</summary>
    public ReadOnlySpan<byte> Id { get; }

    /// <summary>The data of a task, or its result; may be empty.</summary>
    public ReadOnlySpan<byte> Data { get; }

    /// <summary>How many tasks a worker takes at once, 1 to <see cref="MostCapacity"/>.</summary>
    public int Capacity { get; }

    /// <summary>What is wrong with a malformed line, in words for whoever sent it.</summary>
    public string Fault { get; }

    /// <summary>Reads what a client sent.</summary>
    public static TaskLine OfClient(ReadOnlySpan<byte> line)
    {
        const string Expected = "expected TASK|id|data";
        return !Utf8.IsValid(line) ? new("the line is not UTF-8")
            : !TrySplit(line, out var command, out var rest) || !command.SequenceEqual("TASK"u8) ? new(Expected)
            : OfTask(TaskLineKind.Task, rest, Expected);
    }

    /// <summary>Reads what a worker sent.</summary>
    public static TaskLine OfWorker(ReadOnlySpan<byte> line)
    {
        return !Utf8.IsValid(line) ? new("the line is not UTF-8")
            : !TrySplit(line, out var command, out var rest) ? new("expected REGISTER|worker, REGISTER|worker|capacity or TASK_RESULT|id|result")
            : command.SequenceEqual("TASK_RESULT"u8) ? OfTask(TaskLineKind.Result, rest, "expected TASK_RESULT|id|result")
            : command.SequenceEqual("REGISTER"u8) ? OfRegistration(rest)
            : new("expected REGISTER|worker, REGISTER|worker|capacity or TASK_RESULT|id|result");
    }

    private static TaskLine OfTask(TaskLineKind kind, ReadOnlySpan<byte> rest, string expected) =>
        !TrySplit(rest, out var id, out var data) ? new(expected)
        : id.IsEmpty ? new($"the task id is empty; {expected}")
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
        return hasCapacity && (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out capacity) || capacity is < 1 or > MostCapacity)
            ? new($"the capacity is not a number from 1 to {MostCapacity}")
            : new(TaskLineKind.Register, name, default, capacity);
    }

    // It must not write lines of its own into our log.
    private static bool ContainsControl(ReadOnlySpan<byte> name)
    {
        while (!name.IsEmpty)
        {
            Rune.DecodeFromUtf8(name, out var rune, out var length);
            name = name[length..];
            if (Rune.IsControl(rune) || Rune.GetUnicodeCategory(rune) is UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator)
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
