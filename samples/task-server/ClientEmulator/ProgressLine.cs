namespace ClientEmulator;

/// <summary>A line of the terminal that is written ten times a second, and erased at the end. Nothing is written into a pipe.</summary>
internal sealed class ProgressLine : IDisposable
{
    private const string EraseLine = "\r\e[K";

    private readonly Lock _lock = new();
    private readonly ITimer? _timer;
    private bool _ended;

    public ProgressLine(Func<string> text, TimeProvider time)
    {
        if (!Console.IsOutputRedirected)
        {
            _timer = time.CreateTimer(_ => Write(text()), null, TimeSpan.FromSeconds(0.1), TimeSpan.FromSeconds(0.1));
        }
    }

    public void Dispose()
    {
        if (_timer is not null)
        {
            _timer.Dispose();
            Write("", last: true);
        }
    }

    // The timer may fire once more while it is being disposed.
    private void Write(string text, bool last = false)
    {
        lock (_lock)
        {
            if (!_ended)
            {
                Console.Write(EraseLine + text);
            }
            _ended |= last;
        }
    }
}
