namespace LoadBalancer.Http.Upstream.Exchanges;

/// <summary>A backend's response is not valid; the message says why.</summary>
internal sealed class MalformedResponseException(string message) : Exception(message);
