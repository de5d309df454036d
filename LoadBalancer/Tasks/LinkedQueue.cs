namespace LoadBalancer.Tasks;

/// <summary>The neighbours of an item in a <see cref="LinkedQueue{T}"/>.</summary>
internal struct Links<T> where T : class
{
    /// <summary>The item before it.</summary>
    public T? Previous;

    /// <summary>The item after it.</summary>
    public T? Next;

    /// <summary>Whether it is in the queue.</summary>
    public bool IsIn;
}

/// <summary>
/// A queue from whose middle an item can be removed in O(1). The items contain the links, so that nothing is allocated. Not thread-safe.
/// </summary>
/// <param name="links">Returns the links of an item.</param>
internal sealed class LinkedQueue<T>(LinkedQueue<T>.LinksOf links) where T : class
{
    /// <summary>Returns the links of an item.</summary>
    public delegate ref Links<T> LinksOf(T item);

    private T? _last;

    /// <summary>The first item; null if the queue is empty.</summary>
    public T? First { get; private set; }

    /// <summary>The number of items.</summary>
    public int Count { get; private set; }

    /// <summary>The item after an item.</summary>
    public T? After(T item) => links(item).Next;

    /// <summary>Adds an item at the end.</summary>
    public void AddLast(T item) => Insert(item, _last, null);

    /// <summary>Adds an item at the beginning.</summary>
    public void AddFirst(T item) => Insert(item, null, First);

    /// <summary>Removes an item.</summary>
    /// <returns>False if it was not in the queue.</returns>
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
