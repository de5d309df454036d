using System.Text;

namespace LoadBalancer.Diagnostics;

/// <summary>Holds back the lines of a start until it has succeeded. A start that fails shows only its reason.</summary>
internal sealed class HeldLines
{
    private readonly Lock _gate = new();
    private StringBuilder? _held = new(); // null when there is nothing to hold any more
    private volatile bool _isReleased;

    /// <summary>Lets the next line take along all that were held back, before itself.</summary>
    public void Release() => _isReleased = true;

    /// <summary>Writes a line, or holds it back.</summary>
    public void Write(string line, TextWriter writer)
    {
        if (Volatile.Read(ref _held) is not null)
        {
            lock (_gate)
            {
                if (_held is not null && !_isReleased)
                {
                    _held.Append(line);
                    return;
                }
                writer.Write(_held);
                _held = null;
            }
        }
        writer.Write(line);
    }
}
