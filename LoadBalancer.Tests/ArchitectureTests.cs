using System.Reflection;
using Microsoft.Extensions.Logging;

namespace LoadBalancer.Tests;

/// <summary>Holds who may name whom: the protocols stand side by side on the pools, and only Node sees them all.</summary>
internal sealed class ArchitectureTests
{
    private const string Root = "LoadBalancer.";
    private const BindingFlags All = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;

    [TestCase("Pools", new string[0])]
    [TestCase("Balancing", new[] { "Pools" })]
    [TestCase("Configuration", new[] { "Pools" })]
    [TestCase("Diagnostics", new[] { "Pools", "Configuration" })]
    [TestCase("Health", new[] { "Pools", "Configuration" })]
    [TestCase("Sockets", new[] { "Pools" })]
    [TestCase("Listeners", new[] { "Pools", "Configuration", "Sockets" })]
    [TestCase("Zmtp", new[] { "Sockets" })]
    [TestCase("Http", new[] { "Pools", "Configuration", "Diagnostics", "Sockets", "Listeners" })]
    [TestCase("Tcp", new[] { "Pools", "Configuration", "Sockets", "Listeners" })]
    [TestCase("Broker", new[] { "Pools", "Zmtp", "Configuration", "Diagnostics", "Sockets", "Listeners" })]
    [TestCase("Tasks", new[] { "Pools", "Configuration", "Sockets", "Listeners" })]
    [TestCase("CommandLine", new[] { "Configuration" })]
    public void Folder_Always_NamesOnlyWhatItMay(string folder, string[] allowed)
    {
        var named = TypesOf(folder).SelectMany(Named).Select(FolderOf).OfType<string>().Where(other => other != folder).Distinct();

        named.Except(allowed).Should().BeEmpty();
    }

    [Test]
    public void Pools_Always_NameTheBaseClassLibraryOnly() =>
        TypesOf("Pools").SelectMany(Named).Where(type => type.Namespace?.StartsWith("Microsoft.", StringComparison.Ordinal) == true)
            .Where(type => type.Namespace != "Microsoft.CodeAnalysis").Should().BeEmpty();

    [Test]
    public void LogLines_Always_HaveNumbersOfTheirOwn() =>
        typeof(Program).Assembly.GetTypes().SelectMany(type => type.GetMethods(All)).Select(method => method.GetCustomAttribute<LoggerMessageAttribute>()).OfType<LoggerMessageAttribute>()
            .GroupBy(line => line.EventId).Where(lines => lines.Count() > 1).Select(lines => string.Join(" | ", lines.Select(line => line.Message))).Should().BeEmpty();

    private static List<Type> TypesOf(string folder)
    {
        var types = typeof(Program).Assembly.GetTypes().Where(type => FolderOf(type) == folder).ToList();
        types.Should().NotBeEmpty();
        return types;
    }

    // LoadBalancer.Http.Upstream belongs to Http.
    private static string? FolderOf(Type type) =>
        type.Namespace?.StartsWith(Root, StringComparison.Ordinal) == true && !type.Namespace.StartsWith("LoadBalancer.Tests", StringComparison.Ordinal)
            ? type.Namespace[Root.Length..].Split('.')[0]
            : null;

    // What a type's signatures and the locals of its methods name; an async method's locals are fields of a nested type.
    private static IEnumerable<Type> Named(Type type)
    {
        var methods = type.GetMethods(All).Cast<MethodBase>().Concat(type.GetConstructors(All)).ToList();
        return new[] { type.BaseType }
            .Concat(type.GetInterfaces())
            .Concat(type.GetFields(All).Select(field => field.FieldType))
            .Concat(methods.SelectMany(method => method.GetParameters().Select(parameter => parameter.ParameterType)))
            .Concat(methods.OfType<MethodInfo>().Select(method => method.ReturnType))
            .Concat(methods.SelectMany(method => method.GetMethodBody()?.LocalVariables ?? []).Select(local => local.LocalType))
            .OfType<Type>()
            .SelectMany(Unwrap);
    }

    private static IEnumerable<Type> Unwrap(Type type) =>
        type.HasElementType ? Unwrap(type.GetElementType()!) : type.GetGenericArguments().SelectMany(Unwrap).Prepend(type);
}
