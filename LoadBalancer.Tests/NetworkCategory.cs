// Gives the category Network to every test of the folders that open connections: CI runs these on both transports
// (dotnet test --filter TestCategory=Network, once with LOADBALANCER_TRANSPORT=Sockets in the environment).
namespace LoadBalancer.Tests.Broker
{
    [SetUpFixture]
    [Category("Network")]
    internal sealed class NetworkCategory;
}

namespace LoadBalancer.Tests.EndToEnd
{
    [SetUpFixture]
    [Category("Network")]
    internal sealed class NetworkCategory;
}

namespace LoadBalancer.Tests.Health
{
    [SetUpFixture]
    [Category("Network")]
    internal sealed class NetworkCategory;
}

namespace LoadBalancer.Tests.Http
{
    [SetUpFixture]
    [Category("Network")]
    internal sealed class NetworkCategory;
}

namespace LoadBalancer.Tests.Tasks
{
    [SetUpFixture]
    [Category("Network")]
    internal sealed class NetworkCategory;
}

namespace LoadBalancer.Tests.Tcp
{
    [SetUpFixture]
    [Category("Network")]
    internal sealed class NetworkCategory;
}

namespace LoadBalancer.Tests.Transport
{
    [SetUpFixture]
    [Category("Network")]
    internal sealed class NetworkCategory;
}

namespace LoadBalancer.Tests.Zmtp
{
    [SetUpFixture]
    [Category("Network")]
    internal sealed class NetworkCategory;
}
