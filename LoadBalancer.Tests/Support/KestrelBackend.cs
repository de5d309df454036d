using System.Net;
using System.Text;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Tls;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;

namespace LoadBalancer.Tests.Support;

/// <summary>A backend for what is not worth speaking by hand: HTTP/2 and TLS.</summary>
internal sealed class KestrelBackend : IAsyncDisposable
{
    private readonly WebApplication _app;

    private KestrelBackend(WebApplication app) => _app = app;

    /// <summary>Where it listens.</summary>
    public string Address => _app.Urls.Single();

    /// <summary>Requests that arrived, as <c>HTTP/2 GET /path</c>.</summary>
    public List<string> Requests { get; } = [];

    /// <summary>Starts a server that handles every request with this code.</summary>
    /// <param name="handle">Answers a request.</param>
    /// <param name="protocols">What it speaks.</param>
    /// <param name="certificate">Makes it an https server.</param>
    /// <param name="port">Where; 0 for a free port.</param>
    /// <param name="ip">At which address; null for 127.0.0.1.</param>
    public static async Task<KestrelBackend> StartAsync(RequestDelegate handle, HttpProtocols protocols,
        CertificateOptions? certificate = null, int port = 0, IPAddress? ip = null)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration().ConfigureKestrel(kestrel =>
        {
            kestrel.Limits.MinRequestBodyDataRate = null;
            kestrel.RequestHeaderEncodingSelector = _ => Encoding.Latin1;
            kestrel.Listen(ip ?? IPAddress.Loopback, port, listen =>
            {
                listen.Protocols = protocols;
                if (certificate is not null)
                {
                    listen.UseHttps(tls => tls.ServerCertificate = ServerCertificate.Read(certificate).TargetCertificate);
                }
            });
        });
        var app = builder.Build();
        var server = new KestrelBackend(app);
        app.Run(context =>
        {
            lock (server.Requests)
            {
                server.Requests.Add($"{context.Request.Protocol} {context.Request.Method} " +
                    $"{context.Features.Get<Microsoft.AspNetCore.Http.Features.IHttpRequestFeature>()!.RawTarget}");
            }
            return handle(context);
        });
        await app.StartAsync();
        return server;
    }

    public ValueTask DisposeAsync() => _app.DisposeAsync();
}
