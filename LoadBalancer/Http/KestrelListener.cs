using System.Net;
using System.Net.Sockets;
using System.Text;
using LoadBalancer.Configuration;
using LoadBalancer.Pools;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Abstractions;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.Options;
using Microsoft.Net.Http.Headers;

namespace LoadBalancer.Http;

/// <summary>
/// One HTTP listener: a Kestrel server of its own, because limits are set per server, that runs a pipeline for each request. There
/// is no web host around it: its scopes, logging and activities for each request cost more than forwarding the request does.
/// </summary>
public sealed class KestrelListener : IDisposable
{
    private readonly ListenerOptions _options;
    private readonly RequestDelegate _pipeline;
    private readonly KestrelServer _server;

    /// <summary>Makes the listener; it listens from <see cref="StartAsync"/> on.</summary>
    public KestrelListener(string name, ListenerOptions options, RequestDelegate pipeline, ILoggerFactory loggers)
    {
        (Name, _options, _pipeline) = (name, options, pipeline);
        var kestrel = new KestrelServerOptions
        {
            AddServerHeader = false,
            AllowHostHeaderOverride = true, // RFC 9112 section 3.2.2: the authority of an absolute target wins.
            // Any byte passes as it is, but for two fields that Kestrel understands in its own way.
            RequestHeaderEncodingSelector = name =>
                name.Equals(HeaderNames.Connection, StringComparison.OrdinalIgnoreCase) ? ConnectionFieldEncoding.Instance
                : name.Equals(HeaderNames.ContentLength, StringComparison.OrdinalIgnoreCase) ? ContentLengthEncoding.Instance
                : Encoding.Latin1,
            ResponseHeaderEncodingSelector = _ => Encoding.Latin1,
        };
        kestrel.Limits.MaxRequestBodySize = options.MaxRequestBodySize;
        kestrel.Limits.RequestHeadersTimeout = options.RequestHeadersTimeout;
        kestrel.Limits.KeepAliveTimeout = options.KeepAliveTimeout;
        kestrel.Limits.MaxConcurrentConnections = options.MaxConnections;
        kestrel.Limits.MaxConcurrentUpgradedConnections = null; // a tunnel is a connection like any other
        kestrel.Limits.MinRequestBodyDataRate = null; // Slow but moving is no fault; silence is, and Timeouts:Idle ends that.
        kestrel.Limits.MinResponseDataRate = null;
        Listen(kestrel, options.Address!);
        var transport = new SocketTransportOptions
        {
            UnsafePreferInlineScheduling = true, // A request stays on the thread that read it. Therefore nothing here may block.
            Backlog = 4096,
            CreateBoundListenSocket = CreateListenSocket,
        };
        _server = new KestrelServer(Options.Create(kestrel), new SocketTransportFactory(Options.Create(transport), loggers), loggers);
    }

    /// <summary>The listener's name in the configuration.</summary>
    public string Name { get; }

    /// <summary>Where it really listens, which is only known here where the configured port is 0.</summary>
    public string Address => _server.Features.Get<IServerAddressesFeature>()!.Addresses.First();

    /// <summary>Starts to listen.</summary>
    /// <exception cref="ListenerException">The address cannot be listened on.</exception>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        try
        {
            await _server.StartAsync(new PipelineApplication(_pipeline), cancellationToken);
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            var reason = e.InnerException is Microsoft.AspNetCore.Connections.AddressInUseException ? "the port is taken by another program" : e.GetBaseException().Message;
            throw new ListenerException($"listener '{Name}': cannot listen on {_options.Address}: {reason}", e);
        }
    }

    /// <summary>Stops accepting, closes idle connections, lets requests end until the token is cancelled, and then cuts them.</summary>
    public Task StopAsync(CancellationToken cancellationToken) => _server.StopAsync(cancellationToken);

    /// <inheritdoc/>
    public void Dispose() => _server.Dispose();

    // Without a limit the system takes in megabytes for a slow client and reports no progress until much of it has gone, which would
    // look like silence. With it, what waits unsent is short, and the speed of the connection is not limited.
    private static Socket CreateListenSocket(EndPoint endPoint)
    {
        const int NotSentLowWaterMark = 25; // TCP_NOTSENT_LOWAT of Linux, tcp(7); accepted sockets inherit it
        var socket = SocketTransportOptions.CreateDefaultBoundListenSocket(endPoint);
        if (OperatingSystem.IsLinux())
        {
            socket.SetRawSocketOption((int)SocketOptionLevel.Tcp, NotSentLowWaterMark, BitConverter.GetBytes(128 * 1024));
        }
        return socket;
    }

    private static void Listen(KestrelServerOptions kestrel, EndpointAddress address)
    {
        switch (address.Host)
        {
            case "*":
                kestrel.ListenAnyIP(address.Port);
                break;
            case "localhost":
                kestrel.ListenLocalhost(address.Port);
                break;
            default:
                kestrel.Listen(IPAddress.Parse(address.Host), address.Port);
                break;
        }
    }

    private sealed class PipelineApplication(RequestDelegate pipeline) : IHttpApplication<DefaultHttpContext>
    {
        // Kestrel keeps one slot for each connection or stream, so that the next request on it finds the last one's context.
        public DefaultHttpContext CreateContext(IFeatureCollection contextFeatures)
        {
            if (contextFeatures is not IHostContextContainer<DefaultHttpContext> { HostContext: var slot } container)
            {
                return new DefaultHttpContext(contextFeatures);
            }
            if (slot is null)
            {
                return container.HostContext = new DefaultHttpContext(contextFeatures);
            }
            slot.Initialize(contextFeatures);
            return slot;
        }

        public Task ProcessRequestAsync(DefaultHttpContext context) => pipeline(context);

        public void DisposeContext(DefaultHttpContext context, Exception? exception) => context.Uninitialize();
    }
}

/// <summary>A listener that cannot do its work; the message is for the user.</summary>
public sealed class ListenerException(string message, Exception inner) : Exception(message, inner);
