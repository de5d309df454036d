using System.Net.Security;
using System.Net.Sockets;
using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Http.Messages;
using LoadBalancer.Net;
using LoadBalancer.Tls;

namespace LoadBalancer.Http.Upstream;

/// <summary>
/// The HTTP/2 connections to one backend. The framework's handler multiplexes requests over them. It gets connections that are open
/// already, so that connecting and TLS are the same for both versions.
/// </summary>
internal sealed class Http2Connections : IDisposable
{
    private readonly EndpointAddress _address;
    private readonly PoolOptions _options;
    private readonly TimeProvider _time;
    private readonly Dialer _dialer;
    private readonly HttpMessageInvoker _client;
    private SslStream? _waiting; // opened by a request before the version was negotiated
    private volatile bool _isSpoken;

    public Http2Connections(EndpointAddress address, PoolOptions options, BackendTrust trust, TimeProvider time)
    {
        (_address, _options, _time) = (address, options, time);
        _dialer = new Dialer(address, options, trust, time);
        _isSpoken = !IsNegotiated && options.HttpVersion == System.Net.HttpVersion.Version20;
        _client = new HttpMessageInvoker(new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseCookies = false,
            UseProxy = false,
            ActivityHeadersPropagator = null,
            EnableMultipleHttp2Connections = true, // A backend's limit of streams per connection must not limit the requests.
            PooledConnectionIdleTimeout = TimeSpan.FromSeconds(60),
            PooledConnectionLifetime = TimeSpan.FromMinutes(15), // The address of a name may change.
            Expect100ContinueTimeout = Http1Exchange.ContinueTimeout,
            RequestHeaderEncodingSelector = (_, _) => Encoding.Latin1,
            ResponseHeaderEncodingSelector = (_, _) => Encoding.Latin1,
            ConnectCallback = (_, cancellationToken) => ConnectAsync(cancellationToken),
        });
    }

    /// <summary>Whether TLS negotiates the version, for each connection again.</summary>
    public bool IsNegotiated => _address.Scheme == "https";

    /// <summary>Whether requests should use HTTP/2: the pool's options say so, or the backend has negotiated it the last time.</summary>
    public bool IsSpoken => _isSpoken;

    /// <summary>Takes a connection on which HTTP/2 was negotiated; from now on requests should use HTTP/2.</summary>
    public void TakeOver(SslStream connection)
    {
        if (_isSpoken)
        {
            connection.Dispose(); // Another request was first, and one connection is enough.
            return;
        }
        _isSpoken = true;
        Interlocked.Exchange(ref _waiting, connection)?.Dispose();
    }

    /// <summary>Starts a request.</summary>
    /// <exception cref="ForwardException">The request must not be passed on.</exception>
    public Http2Exchange Send(ForwardRequest request) => new(request, _client, _options.Timeouts, _time);

    /// <summary>Closes a connection whose request did not use it: its client is gone, or HTTP/2 cannot carry it.</summary>
    public void Sweep() => Interlocked.Exchange(ref _waiting, null)?.Dispose();

    /// <inheritdoc/>
    public void Dispose()
    {
        _client.Dispose();
        Sweep();
    }

    private async ValueTask<Stream> ConnectAsync(CancellationToken cancellationToken)
    {
        if (Interlocked.Exchange(ref _waiting, null) is { } waiting)
        {
            return waiting;
        }
        if (!IsNegotiated)
        {
            return new NetworkStream(await _dialer.OpenSocketAsync(cancellationToken), ownsSocket: true);
        }
        var (_, tls) = await _dialer.OpenTlsAsync(BackendTrust.AnyHttp, cancellationToken);
        if (tls.NegotiatedApplicationProtocol != SslApplicationProtocol.Http2)
        {
            await tls.DisposeAsync();
            _isSpoken = false; // The next request negotiates again.
            throw new ForwardException(ForwardError.Connect, "it no longer speaks HTTP/2") { IsOtherVersion = true };
        }
        return tls;
    }
}
