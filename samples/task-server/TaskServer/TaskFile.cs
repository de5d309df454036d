using System.Text.Json;
using System.Threading.Channels;
using Samples;

namespace TaskServer;

/// <summary>
/// The tasks, in a file that any number of servers on one machine share. A writer holds a lock, which the operating system releases when
/// the process dies, and replaces the file by a new one: readers need no lock and never see half a file.
/// </summary>
internal sealed class TaskFile
{
    private static readonly JsonSerializerOptions Indented = new(TaskItem.Json) { WriteIndented = true };

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan RetryDelay = TimeSpan.FromMilliseconds(2);
    // Between two writes. Longer than RetryDelay, so that another server gets the lock.
    private static readonly TimeSpan WritePause = TimeSpan.FromMilliseconds(5);

    private readonly TimeProvider _time;
    private readonly Channel<Addition> _additions = Channel.CreateBounded<Addition>(1000);

    private TaskFile(string path, TimeProvider time) => (FullName, _time) = (path, time);

    /// <summary>The path of the file.</summary>
    public string FullName { get; }

    /// <summary>Opens the file, which need not exist, and makes sure that it can be locked.</summary>
    public static async Task<TaskFile> OpenAsync(string path, TimeProvider time)
    {
        var file = new TaskFile(Path.GetFullPath(path), time);
        Directory.CreateDirectory(Path.GetDirectoryName(file.FullName)!);
        await using (await file.LockAsync())
        {
        }
        Background.Run(file.StoreAdditionsAsync);
        return file;
    }

    /// <summary>All tasks.</summary>
    public async Task<List<TaskItem>> ReadAsync()
    {
        if (!File.Exists(FullName))
        {
            return [];
        }
        // Windows could not replace the file meanwhile without this sharing.
        const FileShare Sharing = FileShare.ReadWrite | FileShare.Delete;
        await using var file = await RetryAsync(() => new FileStream(FullName, FileMode.Open, FileAccess.Read, Sharing));
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
        throw new InvalidDataException($"{FullName} does not contain a list of tasks"); // for example after an edit by hand
    }

    /// <summary>Adds a task, and returns it with its id once it is on disk.</summary>
    public async Task<TaskItem> AddAsync(TaskItem task)
    {
        var addition = new Addition(task, new TaskCompletionSource<TaskItem>(TaskCreationOptions.RunContinuationsAsynchronously));
        await _additions.Writer.WriteAsync(addition);
        return await addition.Stored.Task;
    }

    // One write stores all tasks that arrived during the last one: the disk's speed limits the latency, not the rate.
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
            await Task.Delay(WritePause, _time);
        }
    }

    // A writer that is killed may leave a temporary file, which the next one overwrites.
    private async Task ReplaceAsync(List<TaskItem> tasks)
    {
        var temporary = FullName + ".tmp";
        await using (var file = File.Create(temporary))
        {
            await JsonSerializer.SerializeAsync(file, tasks, Indented);
            file.Flush(flushToDisk: true);
        }
        await RetryAsync(() =>
        {
            File.Move(temporary, FullName, overwrite: true);
            return true;
        });
    }

    // The lock is held while the file is open; that the file exists means nothing. flock(2) on Linux and macOS, a sharing mode on Windows.
    private Task<FileStream> LockAsync() =>
        RetryAsync(() => new FileStream(FullName + ".lock", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None));

    // Tries again for as long as Patience, since another process may hold the file for a moment.
    private async Task<T> RetryAsync<T>(Func<T> attempt)
    {
        for (var started = _time.GetTimestamp(); ; await Task.Delay(RetryDelay, _time))
        {
            try
            {
                return attempt();
            }
            catch (Exception e) when (MayBeInUse(e) && _time.GetElapsedTime(started) < Patience)
            {
            }
        }
    }

    private static bool MayBeInUse(Exception e) => e is IOException || (OperatingSystem.IsWindows() && e is UnauthorizedAccessException);

    private sealed record Addition(TaskItem Task, TaskCompletionSource<TaskItem> Stored);
}
