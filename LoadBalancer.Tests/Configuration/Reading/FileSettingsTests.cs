using LoadBalancer.Configuration.Reading;
using Microsoft.Extensions.Configuration;

namespace LoadBalancer.Tests.Configuration.Reading;

internal sealed class FileSettingsTests
{
    private static readonly Dictionary<string, string?> Settings = new(StringComparer.OrdinalIgnoreCase)
    {
        ["LoadBalancer"] = "{}",
        ["LoadBalancer:Pools:web:Backends:b"] = "x",
        ["LoadBalancer:pools:web:Backends:a:Address"] = "http://a",
        ["LoadBalancer:Pools:web:Policy"] = null,
        ["LoadBalancer:Listeners:web:Names:10"] = "ten",
        ["LoadBalancer:Listeners:web:Names:9"] = "nine",
        ["Other"] = "y",
    };

    [Test]
    public void Children_OfEachSection_AreThoseThatTheFrameworkFinds()
    {
        var expected = new ConfigurationBuilder().AddInMemoryCollection(Settings).Build().AsEnumerable();

        var found = new ConfigurationBuilder().Add(new FileSettings(Settings)).Build().AsEnumerable();

        found.Should().Equal(expected);
    }

    [Test]
    public void Children_OfTwoSources_AreJoined()
    {
        var configuration = new ConfigurationBuilder().Add(new FileSettings(Settings))
            .AddCommandLine(["--LoadBalancer:Pools:web:Backends:c=z", "--LoadBalancer:Pools:Web:Policy=First"]).Build();

        configuration.GetSection("LoadBalancer:Pools:web:Backends").GetChildren().Select(child => child.Key).Should().Equal("a", "b", "c");
        configuration["LoadBalancer:Pools:web:Policy"].Should().Be("First");
    }
}
