using NUnit.Framework.Api;
using NUnit.Framework.Interfaces;

namespace LoadBalancer.Tests;

/// <summary>What <c>dotnet test --filter</c> needs of the tests' names.</summary>
internal sealed class TestNameTests
{
    [Test]
    public void Names_OfAllTests_AreUniqueAndHaveNoControlCharacter()
    {
        var assembly = new DefaultTestAssemblyBuilder().Build(typeof(TestNameTests).Assembly, new Dictionary<string, object>());

        var names = Leaves(assembly).Select(test => test.FullName).ToList();

        names.Should().HaveCountGreaterThan(1000).And.OnlyHaveUniqueItems();
        names.Where(name => name.Any(c => char.IsControl(c) || char.IsSurrogate(c)))
            .Should().BeEmpty("a filter passes such a test over without a word; see ByteCaseAttribute");
    }

    private static IEnumerable<ITest> Leaves(ITest test) => test.HasChildren ? test.Tests.SelectMany(Leaves) : [test];
}
