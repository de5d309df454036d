using System.Text.Json;
using System.Threading.Channels;

namespace TaskServer;

/// <summary>
/// The tasks, in a file that any number of servers on one machine share. Who changes it holds a lock, which the operating system takes
/// back from a process that dies, and puts a new file in the old one's place: readers need no lock and never see half a file.
/// </summary>
internal sealed class TaskFile
{
    private static readonly JsonSerializerOptions Indented = new(TaskItem.Json) { WriteIndented = true };

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan RetryDelay = TimeSpan.FromMilliseconds(2);
    // Long enough for another server, which looks every RetryDelay, to find the lock free.
    private static readonly TimeSpan Courtesy = TimeSpan.FromMilliseconds(5);

    private readonly TimeProvider _time;
    private readonly Channel<Addition> _additions = Channel.CreateBounded<Addition>(1000);

    private TaskFile(string path, TimeProvider time) => (FullName, _time) = (path, time);

    /// <summary>Where the file is.</summary>
    public string FullName { get; }

    /// <summary>Opens the file, which need not exist, and sees to it that it can be locked.</summary>
    public static async Task<TaskFile> OpenAsync(string path, TimeProvider time)
    {
        var file = new TaskFile(Path.GetFullPath(path), time);
        Directory.CreateDirectory(Path.GetDirectoryName(file.FullName)!);
        await using (await file.LockAsync())
        {
        }
        _ = file.StoreAdditionsAsync();
        return file;
    }

    /// <summary>All tasks.</summary>
    public async Task<List<TaskItem>> ReadAsync()
    {
        if (!File.Exists(FullName))
        {
            return [];
        }
        // Sharing matters to Windows alone: without it, nobody could replace the file meanwhile.
        await using var file = await PersistAsync(() => new FileStream(FullName, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete));
        try
        {
            if (await JsonSerializer.DeserializeAsync<List<TaskItem>>(file, TaskItem.Json) is { } tasks && !tasks.Contains(null!))
            {
                return tasks;
            }
        }
        catch (JsonException)
        {
        }
        throw new InvalidDataException($"{FullName} holds no list of tasks"); // somebody wrote it by hand
    }

    /// <summary>Adds a task, and returns it with its id once it is on disk.</summary>
    public async Task<TaskItem> AddAsync(TaskItem task)
    {
        var addition = new Addition(task, new TaskCompletionSource<TaskItem>(TaskCreationOptions.RunContinuationsAsynchronously));
        await _additions.Writer.WriteAsync(addition);
        return await addition.Stored.Task;
    }

    // One write stores all that came during the last one: the disk's pace limits the latency, not the rate.
    private async Task StoreAdditionsAsync()
    {
        while (await _additions.Reader.WaitToReadAsync())
        {
            List<Addition> taken = [];
            try
            {
                await using (await LockAsync())
                {
                    var tasks = await ReadAsync();
                    var id = tasks.Select(task => task.Id).DefaultIfEmpty().Max();
                    while (_additions.Reader.TryRead(out var addition))
                    {
                        taken.Add(addition with { Task = addition.Task with { Id = ++id } });
                    }
                    await ReplaceAsync([.. tasks, .. taken.Select(addition => addition.Task)]);
                }
                taken.ForEach(addition => addition.Stored.SetResult(addition.Task));
            }
            catch (Exception e)
            {
                while (_additions.Reader.TryRead(out var addition))
                {
                    taken.Add(addition);
                }
                taken.ForEach(addition => addition.Stored.TrySetException(e));
            }
            await Task.Delay(Courtesy, _time);
        }
    }

    // A writer that is killed leaves a temporary file at the worst, which the next one overwrites.
    private async Task ReplaceAsync(List<TaskItem> tasks)
    {
        var temporary = FullName + ".tmp";
        await using (var file = File.Create(temporary))
        {
            await JsonSerializer.SerializeAsync(file, tasks, Indented);
            file.Flush(flushToDisk: true);
        }
        await PersistAsync(() =>
        {
            File.Move(temporary, FullName, overwrite: true);
            return true;
        });
    }

    // The lock is that the file is open, not that it exists: flock(2) on Linux and macOS, a sharing mode on Windows.
    private Task<FileStream> LockAsync() => PersistAsync(() => new FileStream(FullName + ".lock", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None));

    // Tries until it succeeds or patience ends, since another process is about to let go.
    private async Task<T> PersistAsync<T>(Func<T> attempt)
    {
        for (var started = _time.GetTimestamp(); ; await Task.Delay(RetryDelay, _time))
        {
            try
            {
                return attempt();
            }
            catch (Exception e) when ((e is IOException || (OperatingSystem.IsWindows() && e is UnauthorizedAccessException)) && _time.GetElapsedTime(started) < Patience)
            {
            }
        }
    }

    private sealed record Addition(TaskItem Task, TaskCompletionSource<TaskItem> Stored);
}
