using System.Collections.Immutable;
using System.Net;
using Grpc.HealthCheck;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Health.Probes;
using LoadBalancer.Http.Upstream;
using LoadBalancer.Pools;
using LoadBalancer.Tests.Support;
using LoadBalancer.Tls;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using static Grpc.Health.V1.HealthCheckResponse.Types;

namespace LoadBalancer.Tests.Health.Probes;

internal sealed class GrpcProbeTests
{
    private readonly BackendTrust _trust = new("web", new() { Verify = false }, TimeProvider.System, NullLogger<BackendTrust>.Instance);

    [OneTimeTearDown]
    public void CloseTrust() => _trust.Dispose();

    [TestCase("", true, "gRPC health is SERVING")]
    [TestCase("shop.Cart", false, "gRPC health of 'shop.Cart' is NOT_SERVING")]
    [TestCase("gone", false, "gRPC health of 'gone' is not known there (NOT_FOUND)")]
    public async Task Probe_ServiceOfAServer_IsWhatTheServerSays(string service, bool succeeds, string reason)
    {
        await using var server = await StartServerAsync();

        (await ProbeAsync(server.Urls.Single(), service)).Should().Be(new ProbeResult(succeeds, reason));
    }

    [Test]
    public async Task Probe_LongServiceName_IsAskedFor()
    {
        var service = new string('s', 300); // two bytes of length
        await using var server = await StartServerAsync();
        server.Services.GetRequiredService<HealthServiceImpl>().SetStatus(service, ServingStatus.Serving);

        (await ProbeAsync(server.Urls.Single(), service))!.Value.Succeeded.Should().BeTrue();
    }

    [TestCase(HttpProtocols.Http1AndHttp2, true)]
    [TestCase(HttpProtocols.Http1, false)]
    public async Task Probe_OverTls_NeedsHttp2(HttpProtocols protocols, bool succeeds)
    {
        using var files = new TestCertificates();
        var certificate = ServerCertificate.Read(files.Issue("grpc", "localhost")).TargetCertificate;
        await using var server = await StartServerAsync(protocols, certificate);

        (await ProbeAsync(server.Urls.Single()))!.Value.Succeeded.Should().Be(succeeds);
    }

    [Test]
    public async Task Probe_ServerWithoutGrpc_Fails()
    {
        await using var server = await KestrelBackend.StartAsync(_ => Task.CompletedTask, HttpProtocols.Http2);

        (await ProbeAsync(server.Address)).Should().Be(
            new ProbeResult(false, "the gRPC health check answered without a valid grpc-status"));
        server.Requests.Should().Equal("HTTP/2 POST /grpc.health.v1.Health/Check");
    }

    [Test]
    public async Task Probe_ServerOfHttp1_Fails()
    {
        await using var server = RawServer.Answering("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");

        (await ProbeAsync(server.Address)).Should().Be(
            new ProbeResult(false, "it does not begin with SETTINGS, so it does not speak HTTP/2"));
    }

    [Test]
    public async Task Node_PoolOfHttp1WithGrpcProbes_ProbesOverHttp2()
    {
        await using var server = await StartServerAsync();
        await using var node = await TestNode.StartAsync(
            [server.Urls.Single()], pool => pool with { HealthCheck = new HealthCheckOptions { Type = ProbeType.Grpc } });

        await Eventually.BeTrueAsync(() => node.Pool.Snapshot.Members[0].Health.IsUp, "it is up");
    }

    [ByteCase("\0\0\0\0\x02\x08\x01", true, "SERVING")]
    [ByteCase("\0\0\0\0\0", false, "UNKNOWN")]
    [ByteCase("\0\0\0\0\x02\x08\x02", false, "NOT_SERVING")]
    [ByteCase("\0\0\0\0\x02\x08\x07", false, "is 7")]
    [ByteCase("\0\0\0\0\x05\x12\x01x\x08\x01", true, "SERVING")] // fields of a later version
    [ByteCase("\0\0\0\0\x0b\x19--------\x08\x01", true, "SERVING")]
    [ByteCase("\0\0\0\0\x07\x1d----\x08\x01", true, "SERVING")]
    [ByteCase("\0\0\0\0\x04\x18\x05\x08\x01", true, "SERVING")]
    [ByteCase("", false, "no valid message")]
    [ByteCase("\0\0\0\0\x02\x08", false, "no valid message")]
    [ByteCase("\0\0\0\0\x01\x08", false, "no valid message")]
    [ByteCase("\x01\0\0\0\x02\x08\x01", false, "no valid message")] // compressed
    [ByteCase("\0\0\0\0\x02\x0b\x01", false, "no valid message")] // a group
    [ByteCase("\0\0\0\0\x02\x12\x7f", false, "no valid message")]
    [ByteCase("\0\0\0\0\x0c\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", false, "no valid message")]
    public void ResultOf_Message_IsReadAsProtobuf(string body, bool succeeds, string reason)
    {
        var fields = ImmutableDictionary<string, string>.Empty.Add("grpc-status", "0");

        var result = Probe().ResultOf(new ProbeAnswer(200, System.Text.Encoding.Latin1.GetBytes(body), fields));

        result.Succeeded.Should().Be(succeeds);
        result.Reason.Should().EndWith(reason);
    }

    [TestCase(503, "0", "answered 503")]
    [TestCase(200, "14", "grpc-status 14")]
    [TestCase(200, "12", "it has no gRPC health check (UNIMPLEMENTED)")]
    [TestCase(200, "zero", "without a valid grpc-status")]
    [TestCase(200, "", "without a valid grpc-status")]
    public void ResultOf_Failure_SaysWhich(int status, string grpcStatus, string reason)
    {
        var fields = ImmutableDictionary<string, string>.Empty.Add("grpc-status", grpcStatus);

        var result = Probe().ResultOf(new ProbeAnswer(status, "\0\0\0\0\x02\x08\x01"u8.ToArray(), fields));

        result.Succeeded.Should().BeFalse();
        result.Reason.Should().EndWith(reason);
    }

    private static async Task<WebApplication> StartServerAsync(
        HttpProtocols protocols = HttpProtocols.Http2,
        System.Security.Cryptography.X509Certificates.X509Certificate2? certificate = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelHttpsConfiguration().ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0, listen =>
        {
            listen.Protocols = protocols;
            if (certificate is not null)
            {
                listen.UseHttps(certificate);
            }
        }));
        builder.Services.AddGrpc();
        builder.Services.AddSingleton<HealthServiceImpl>();
        var server = builder.Build();
        server.MapGrpcService<HealthServiceImpl>();
        var health = server.Services.GetRequiredService<HealthServiceImpl>();
        health.SetStatus("", ServingStatus.Serving);
        health.SetStatus("shop.Cart", ServingStatus.NotServing);
        await server.StartAsync();
        return server;
    }

    private GrpcProbe Probe(string service = "") => new(
        ProbeSender.SendAsync, _trust, new HealthCheckOptions { Type = ProbeType.Grpc, Service = service }, TimeProvider.System);

    private Task<ProbeResult?> ProbeAsync(string address, string service = "") => Probe(service).ProbeAsync(
        new Backend("a", TestNode.Parse(address), new BackendHealth(new(), TimeProvider.System)), CancellationToken.None);
}
