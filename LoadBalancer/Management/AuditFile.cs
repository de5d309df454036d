using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using LoadBalancer.Diagnostics;
using LoadBalancer.Diagnostics.Access;

namespace LoadBalancer.Management;

/// <summary>
/// The file of the audit: an entry on each line, the oldest first. When it would grow beyond <see cref="MostBytes"/> it becomes
/// <c>FILE.1</c>, in place of the one before, and a new one begins. While it cannot be written, entries wait in memory, the last
/// <see cref="MostWaiting"/> of them; there is one line in the log then, and one when all is well again.
/// </summary>
/// <param name="path">Where it is.</param>
/// <param name="logger">Gets a line when it cannot be written, and when it can again.</param>
internal sealed partial class AuditFile(string path, ILogger logger)
{
    /// <summary>The size at which it is rotated, in bytes.</summary>
    public const int MostBytes = 1024 * 1024;

    /// <summary>How many entries wait at the most.</summary>
    public const int MostWaiting = 1000;

    private readonly Lock _gate = new(); // guards the next two
    private readonly Queue<byte[]> _waiting = new();
    private bool _isWriting;
    private bool _isFailing; // Only who writes uses these two.
    private bool _isTorn; // The last line of the file may not be whole.

    /// <summary>Where it is.</summary>
    public string Path => path;

    /// <summary>
    /// Reads the entries of the rotated file and of this one, from the last 2 MiB of each: there is more only where something else writes
    /// into it. Lines that are none are left out.
    /// </summary>
    public IReadOnlyList<AuditEntry> Read()
    {
        var entries = new List<AuditEntry>();
        foreach (var file in new[] { path + ".1", path })
        {
            try
            {
                var text = ReadEnd(file);
                _isTorn = text.Length > 0 && !text.EndsWith('\n');
                entries.AddRange(text.Split('\n').Select(Parse).OfType<AuditEntry>());
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                LogCannotBeRead(file, e.Message);
            }
        }
        return entries;
    }

    /// <summary>Appends an entry; returns when that was tried, or another call goes on with it. Never throws.</summary>
    public async Task AppendAsync(AuditEntry entry)
    {
        lock (_gate)
        {
            _waiting.Enqueue([.. JsonText.Bytes(entry.ToJson()), (byte)'\n']);
            if (_waiting.Count > MostWaiting)
            {
                _waiting.Dequeue();
            }
            if (_isWriting)
            {
                return; // It is written by who writes now.
            }
            _isWriting = true;
        }
        while (Next() is { Length: > 0 } lines)
        {
            if (!await TryWriteAsync(lines))
            {
                lock (_gate)
                {
                    _isWriting = false; // With the next entry all that wait are tried again.
                }
                return;
            }
        }
    }

    // All that wait; none where everything is written, and then nothing writes any more.
    private byte[][] Next()
    {
        lock (_gate)
        {
            _isWriting = _waiting.Count > 0;
            return [.. _waiting];
        }
    }

    private async Task<bool> TryWriteAsync(byte[][] lines)
    {
        try
        {
            byte[] text = [.. _isTorn ? "\n"u8 : default, .. lines.SelectMany(line => line)];
            if (File.Exists(path) && new FileInfo(path).Length + text.Length > MostBytes)
            {
                File.Move(path, path + ".1", overwrite: true);
                text = _isTorn ? text[1..] : text;
            }
            _isTorn = true;
            await using (var file = AppendingFile.Open(path))
            {
                if (file.CanSeek)
                {
                    file.Seek(0, SeekOrigin.End); // Elsewhere than on Linux another process may have added to it.
                }
                await file.WriteAsync(text);
            }
            _isTorn = false;
        }
        catch (Exception e) // Of whatever kind: a change is made all the same.
        {
            if (!_isFailing)
            {
                _isFailing = true;
                LogCannotBeWritten(path, e.Message, MostWaiting);
            }
            return false;
        }
        lock (_gate)
        {
            for (var i = 0; i < lines.Length && _waiting.TryPeek(out var first) && Array.IndexOf(lines, first) >= 0; i++)
            {
                _waiting.Dequeue();
            }
        }
        if (_isFailing)
        {
            _isFailing = false;
            LogWrittenAgain(path, lines.Length);
        }
        return true;
    }

    // Only a regular file has a length. What has none, a pipe or a terminal, is not even opened: that, or reading it, may wait for ever.
    private static string ReadEnd(string path)
    {
        var file = !File.Exists(path) ? null : File.ResolveLinkTarget(path, returnFinalTarget: true) ?? new FileInfo(path);
        if (file is not FileInfo { Exists: true, Length: > 0 })
        {
            return "";
        }
        using var stream = new FileStream(file.FullName, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
        var bytes = new byte[(int)Math.Min(stream.Length, 2 * MostBytes)];
        stream.Seek(-bytes.Length, SeekOrigin.End);
        return Encoding.UTF8.GetString(bytes, 0, stream.ReadAtLeast(bytes, bytes.Length, throwOnEndOfStream: false));
    }

    private static AuditEntry? Parse(string line)
    {
        try
        {
            return line.Length == 0 ? null : AuditEntry.Read(JsonNode.Parse(line));
        }
        catch (Exception e) when (e is JsonException or ArgumentException or InvalidOperationException)
        {
            return null; // The end of a disk, or of a process, has cut it; or a hand has written a name twice, or half a character.
        }
    }

    [LoggerMessage(300, LogLevel.Error,
        "management: the audit file '{File}' cannot be written: {Reason}; changes go on, and the last {Most} entries are written later")]
    private partial void LogCannotBeWritten(string file, string reason, int most);

    [LoggerMessage(301, LogLevel.Information, "management: the audit file '{File}' can be written again; {Count} entries were added")]
    private partial void LogWrittenAgain(string file, int count);

    [LoggerMessage(302, LogLevel.Warning, "management: the audit file '{File}' cannot be read, so earlier entries are not shown: {Reason}")]
    private partial void LogCannotBeRead(string file, string reason);
}
