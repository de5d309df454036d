namespace LoadBalancer.Tasks;

/// <summary>The neighbours of an item in a <see cref="LinkedQueue{T}"/>.</summary>
internal struct Links<T> where T : class
{
    /// <summary>Who is before it.</summary>
    public T? Previous;

    /// <summary>Who is behind it.</summary>
    public T? Next;

    /// <summary>Whether it is in the queue.</summary>
    public bool IsIn;
}

/// <summary>A queue that anybody can leave from the middle at no cost: its items are its links, so that nothing is allocated.</summary>
/// <param name="links">Where an item has its links.</param>
internal sealed class LinkedQueue<T>(LinkedQueue<T>.LinksOf links) where T : class
{
    /// <summary>Where an item has its links.</summary>
    public delegate ref Links<T> LinksOf(T item);

    private T? _last;

    /// <summary>Who is first.</summary>
    public T? First { get; private set; }

    /// <summary>How many there are.</summary>
    public int Count { get; private set; }

    /// <summary>Who is behind an item.</summary>
    public T? After(T item) => links(item).Next;

    /// <summary>Adds an item at the end.</summary>
    public void AddLast(T item) => Insert(item, _last, null);

    /// <summary>Adds an item at the beginning.</summary>
    public void AddFirst(T item) => Insert(item, null, First);

    /// <summary>Takes an item out.</summary>
    /// <returns>False where it was not in it.</returns>
    public bool Remove(T item)
    {
        ref var own = ref links(item);
        if (!own.IsIn)
        {
            return false;
        }
        if (own.Previous is { } previous)
        {
            links(previous).Next = own.Next;
        }
        else
        {
            First = own.Next;
        }
        if (own.Next is { } next)
        {
            links(next).Previous = own.Previous;
        }
        else
        {
            _last = own.Previous;
        }
        own = default;
        Count--;
        return true;
    }

    private void Insert(T item, T? previous, T? next)
    {
        links(item) = new Links<T> { Previous = previous, Next = next, IsIn = true };
        if (previous is not null)
        {
            links(previous).Next = item;
        }
        else
        {
            First = item;
        }
        if (next is not null)
        {
            links(next).Previous = item;
        }
        else
        {
            _last = item;
        }
        Count++;
    }
}
