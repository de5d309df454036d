namespace LoadBalancer.Health.Probes;

/// <summary>The answer to a <see cref="ProbeRequest"/>.</summary>
/// <param name="Status">Its status.</param>
/// <param name="Body">As much of the body as was wanted.</param>
/// <param name="Fields">
/// The fields of its head and its trailers, with names in lower case; only over HTTP/2, and where a body was wanted.
/// </param>
internal sealed record ProbeAnswer(int Status, ReadOnlyMemory<byte> Body, IReadOnlyDictionary<string, string> Fields);
