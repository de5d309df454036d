using System.Globalization;
using NUnit.Framework.Interfaces;
using NUnit.Framework.Internal;

// Classes run beside each other. One that changes what the whole process shares is marked NonParallelizable.
[assembly: Parallelizable(ParallelScope.Fixtures)]
[assembly: LoadBalancer.Tests.Support.TimeLimit(LoadBalancer.Tests.Support.TimeLimits.TestSeconds)]

namespace LoadBalancer.Tests.Support;

/// <summary>
/// How long a test waits for something before it fails. The limits end a test that hangs, and say nothing about speed: a slow machine only
/// takes longer. Where they are too short all the same, the environment variable LOADBALANCER_TEST_PATIENCE multiplies them.
/// </summary>
internal static class TimeLimits
{
    /// <summary>For a test, in seconds before it is multiplied.</summary>
    public const int TestSeconds = 300;

    private static readonly double Patience = double.Parse(
        Environment.GetEnvironmentVariable("LOADBALANCER_TEST_PATIENCE") is { Length: > 0 } text
            ? text : "1", CultureInfo.InvariantCulture);

    /// <summary>For one event within a test.</summary>
    public static TimeSpan Event { get; } = Of(60);

    /// <summary>For a test.</summary>
    public static TimeSpan Test { get; } = Of(TestSeconds);

    /// <summary>So many seconds, multiplied.</summary>
    public static TimeSpan Of(int seconds) => TimeSpan.FromSeconds(seconds * Patience);
}

/// <summary>
/// Ends a test after so many seconds, which are multiplied as <see cref="TimeLimits"/> says; of an assembly, each of its tests.
/// </summary>
[AttributeUsage(AttributeTargets.Assembly | AttributeTargets.Class | AttributeTargets.Method)]
internal sealed class TimeLimitAttribute(int seconds) : NUnitAttribute, IApplyToContext
{
    public int Seconds => seconds;

    public void ApplyToContext(TestExecutionContext context) => context.TestCaseTimeout = (int)TimeLimits.Of(seconds).TotalMilliseconds;
}
