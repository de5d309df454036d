namespace TaskLoad;

/// <summary>The size of a run.</summary>
/// <param name="Tasks">How many tasks in all.</param>
/// <param name="Size">How many bytes of data each has.</param>
/// <param name="Clients">How many clients send them.</param>
/// <param name="Outstanding">How many tasks of each client may wait for a result at once.</param>
/// <param name="Workers">How many workers there are.</param>
/// <param name="Capacity">How many tasks each worker accepts at once.</param>
internal sealed record Load(int Tasks, int Size, int Clients, int Outstanding, int Workers, int Capacity);
