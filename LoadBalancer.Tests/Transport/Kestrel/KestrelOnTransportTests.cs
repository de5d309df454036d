using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using LoadBalancer.Tests.Support;
using LoadBalancer.Transport;
using LoadBalancer.Transport.Kestrel;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;

namespace LoadBalancer.Tests.Transport.Kestrel;

/// <summary>What else of Kestrel's stands on the transport: TLS and HTTP/2.</summary>
[TestFixtureSource(typeof(Transports), nameof(Transports.All))]
internal sealed class KestrelOnTransportTests(string transport)
{
    [TestCase(false, 1)]
    [TestCase(false, 2)]
    [TestCase(true, 1)]
    [TestCase(true, 2)]
    public async Task Bodies_Large_ArriveWhole(bool tls, int version)
    {
        using var key = RSA.Create(2048);
        var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        using var certificate = request.CreateSelfSigned(DateTimeOffset.UnixEpoch, DateTimeOffset.UnixEpoch.AddYears(100));
        await using var app = Build(listen =>
        {
            listen.Protocols = version == 2 ? HttpProtocols.Http2 : HttpProtocols.Http1;
            if (tls)
            {
                listen.UseHttps(certificate);
            }
        });
        app.Run(async context =>
        {
            using var body = new MemoryStream(); // The client does not read before it has sent all.
            await context.Request.Body.CopyToAsync(body);
            await context.Response.BodyWriter.WriteAsync(body.ToArray());
        });
        await app.StartAsync();
        using var handler = new SocketsHttpHandler
        {
            SslOptions =
            { RemoteCertificateValidationCallback = (_, presented, _, _) => certificate.Equals(presented) }
        };
        using var client = new HttpClient(handler)
        {
            BaseAddress = new Uri(app.Urls.Single()),
            DefaultRequestVersion = new Version(version, version == 1 ? 1 : 0),
            DefaultVersionPolicy = HttpVersionPolicy.RequestVersionExact,
        };

        await Task.WhenAll(Enumerable.Range(0, 8).Select(async _ =>
        {
            var body = new byte[2 * 1024 * 1024];
            Random.Shared.NextBytes(body);
            using var response = await client.PostAsync("/", new ByteArrayContent(body));
            (await response.Content.ReadAsByteArrayAsync()).AsSpan().SequenceEqual(body).Should().BeTrue();
        }));
    }

    private WebApplication Build(Action<ListenOptions> configure)
    {
        var builder = WebApplication.CreateEmptyBuilder(new WebApplicationOptions());
        builder.WebHost.UseKestrelCore().UseKestrelHttpsConfiguration()
            .ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, configure));
        builder.Services.AddSingleton<IConnectionListenerFactory>(
            new KestrelTransport(transport == Transports.Epoll, ListenSocket.BindTcp, new(), TimeProvider.System,
                NullLoggerFactory.Instance));
        return builder.Build();
    }
}
