using System.Reflection;
using System.Reflection.Emit;
using LoadBalancer.Tests.Support;
using Microsoft.Extensions.Logging;

namespace LoadBalancer.Tests;

/// <summary>
/// Holds which folder may use which: exactly the table in docs/architecture.md, in which every folder uses only folders above it, so that
/// there is no circle. What counts is what the compiled code uses: base types, signatures, locals, generic arguments, attributes, and each
/// type, method and field that an instruction names, static calls included. Constants are compiled in, and so do not count.
/// </summary>
internal sealed class ArchitectureTests
{
    private const BindingFlags All =
        BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance | BindingFlags.Static | BindingFlags.DeclaredOnly;

    private static readonly Assembly Product = typeof(Program).Assembly;

    private static readonly Dictionary<short, OpCode> OpCodesByValue = typeof(OpCodes).GetFields(BindingFlags.Public | BindingFlags.Static)
        .Select(field => (OpCode)field.GetValue(null)!).ToDictionary(code => code.Value);

    private static readonly IReadOnlyList<(string Folder, string[] Uses)> Documented = ReadTable();

    private static readonly IReadOnlyDictionary<string, string[]> Compiled = Product.GetTypes()
        .Where(type => FolderOf(type) is not null)
        .GroupBy(type => FolderOf(type)!)
        .ToDictionary(
            folder => folder.Key,
            folder =>
                folder.SelectMany(Named).Select(FolderOf).OfType<string>().Distinct().Where(used => used != folder.Key).Order().ToArray());

    [TestCaseSource(nameof(Folders))]
    public void Folder_Always_UsesWhatTheDocumentSays(string folder) =>
        Documented.Single(row => row.Folder == folder).Uses.Should().BeEquivalentTo(Compiled[folder]);

    [TestCaseSource(nameof(Folders))]
    public void Folder_Always_UsesOnlyFoldersAboveIt(string folder) =>
        Compiled[folder].Should().BeSubsetOf(Documented.TakeWhile(row => row.Folder != folder).Select(row => row.Folder));

    [Test]
    public void Document_Always_NamesEveryFolder() => Documented.Select(row => row.Folder).Should().BeEquivalentTo(Compiled.Keys);

    [Test]
    public void Pools_Always_UseTheBaseClassLibraryOnly() =>
        Product.GetTypes().Where(type => FolderOf(type) is "Pools" or "Pools/Statistics").SelectMany(Named)
            .Where(type => type.Namespace?.StartsWith("Microsoft.", StringComparison.Ordinal) == true)
            .Where(type => type.Namespace != "Microsoft.CodeAnalysis").Should().BeEmpty();

    [Test]
    public void LogLines_Always_HaveNumbersOfTheirOwn() =>
        Product.GetTypes().SelectMany(type => type.GetMethods(All))
            .Select(method => method.GetCustomAttribute<LoggerMessageAttribute>()).OfType<LoggerMessageAttribute>()
            .GroupBy(line => line.EventId).Where(lines => lines.Count() > 1)
            .Select(lines => string.Join(" | ", lines.Select(line => line.Message))).Should().BeEmpty();

    [Test]
    public void Named_StaticCallAndGenericArgument_AreSeen() =>
        Named(typeof(Probe)).Should().Contain([typeof(Eventually), typeof(LogRecorder)]);

    private static IEnumerable<string> Folders() => Compiled.Keys.Order();

    /// <summary>The rows <c>| `Folder` | `Used`, `Used` |</c> of the table.</summary>
    private static List<(string Folder, string[] Uses)> ReadTable() =>
        [.. from line in File.ReadLines(Path.Combine(Repository.Root, "docs", "architecture.md"))
            where line.StartsWith("| `", StringComparison.Ordinal)
            let cells = line.Split('|', StringSplitOptions.TrimEntries)
            select (cells[1].Trim('`'), cells[2].Split([',', ' ', '`'], StringSplitOptions.RemoveEmptyEntries))];

    /// <summary>The folder of a type of the product: <c>Http/Upstream</c>; <c>.</c> is the root. Null for what is not ours.</summary>
    private static string? FolderOf(Type type) =>
        type.Assembly != Product || type.Namespace?.StartsWith("LoadBalancer", StringComparison.Ordinal) != true ? null
        : type.Namespace == "LoadBalancer" ? "."
        : type.Namespace["LoadBalancer.".Length..].Replace('.', '/');

    private static IEnumerable<Type> Named(Type type)
    {
        var methods = type.GetMethods(All).Cast<MethodBase>().Concat(type.GetConstructors(All)).ToList();
        return new[] { type.BaseType }
            .Concat(type.GetInterfaces())
            .Concat(type.GetFields(All).Select(field => field.FieldType))
            .Concat(type.GetMembers(All).Prepend(type).SelectMany(member => member.CustomAttributes)
            .Select(attribute => attribute.AttributeType))
            .Concat(methods.SelectMany(method => method.GetParameters().Select(parameter => parameter.ParameterType)))
            .Concat(methods.OfType<MethodInfo>().Select(method => method.ReturnType))
            .Concat(methods.SelectMany(method => method.GetMethodBody()?.LocalVariables ?? []).Select(local => local.LocalType))
            .Concat(methods.SelectMany(NamedByInstructions))
            .OfType<Type>()
            .SelectMany(Unwrap)
            .Distinct();
    }

    private static IEnumerable<Type?> NamedByInstructions(MethodBase method)
    {
        var il = method.GetMethodBody()?.GetILAsByteArray() ?? [];
        for (var at = 0; at < il.Length;)
        {
            var code = OpCodesByValue[il[at] == 0xFE ? BitConverter.ToInt16([il[at + 1], il[at]]) : il[at]];
            at += code.Size;
            if (code.OperandType is OperandType.InlineMethod or OperandType.InlineField or OperandType.InlineType or OperandType.InlineTok)
            {
                foreach (var type in TypesOf(Resolve(method, BitConverter.ToInt32(il, at))))
                {
                    yield return type;
                }
            }
            at += code.OperandType switch
            {
                OperandType.InlineNone => 0,
                OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
                OperandType.InlineVar => 2,
                OperandType.InlineI8 or OperandType.InlineR => 8,
                OperandType.InlineSwitch => 4 + 4 * BitConverter.ToInt32(il, at),
                _ => 4,
            };
        }
    }

    private static MemberInfo? Resolve(MethodBase method, int token) => method.Module.ResolveMember(
        token, method.DeclaringType!.GetGenericArguments(), method.IsGenericMethod ? method.GetGenericArguments() : null);

    private static IEnumerable<Type?> TypesOf(MemberInfo? member) => member switch
    {
        Type type => [type],
        MethodInfo { IsGenericMethod: true } method => method.GetGenericArguments().Append(method.DeclaringType),
        _ => [member?.DeclaringType],
    };

    private static IEnumerable<Type> Unwrap(Type type) =>
        type.HasElementType ? Unwrap(type.GetElementType()!) : type.GetGenericArguments().SelectMany(Unwrap).Prepend(type);

    private static class Probe
    {
        public static Task Use() => Enumerable.Empty<LogRecorder>().Any() ? Task.CompletedTask : Eventually.BeTrueAsync(() => true, "");
    }
}
