using ChatRoom;

/// <summary>Which of this server's clients are in which room, under which name.</summary>
internal sealed class Rooms
{
    private readonly Lock _gate = new();
    private readonly SortedDictionary<string, Dictionary<LinePeer, string>> _rooms = new(StringComparer.Ordinal);

    /// <summary>The number of members of all rooms.</summary>
    public int Members
    {
        get
        {
            lock (_gate)
            {
                return _rooms.Values.Sum(room => room.Count);
            }
        }
    }

    public void Join(string room, LinePeer client, string name)
    {
        lock (_gate)
        {
            if (!_rooms.TryGetValue(room, out var members))
            {
                _rooms[room] = members = [];
            }
            members[client] = name;
        }
    }

    public void Leave(string room, LinePeer client)
    {
        lock (_gate)
        {
            if (_rooms.TryGetValue(room, out var members) && members.Remove(client) && members.Count == 0)
            {
                _rooms.Remove(room);
            }
        }
    }

    public void LeaveAll(LinePeer client)
    {
        lock (_gate)
        {
            foreach (var room in _rooms.Keys.ToList())
            {
                Leave(room, client);
            }
        }
    }

    public string? NameOf(string room, LinePeer client)
    {
        lock (_gate)
        {
            return _rooms.GetValueOrDefault(room)?.GetValueOrDefault(client);
        }
    }

    public string List()
    {
        lock (_gate)
        {
            return string.Join(", ", _rooms.Select(room => $"{room.Key} ({room.Value.Count})"));
        }
    }

    /// <summary>Sends the line <c>ROOM NAME: TEXT</c> to every member of the room.</summary>
    public void Deliver(string line)
    {
        lock (_gate)
        {
            foreach (var member in _rooms.GetValueOrDefault(line.Split(' ', 2)[0])?.Keys.ToList() ?? [])
            {
                member.Send(line);
            }
        }
    }
}
