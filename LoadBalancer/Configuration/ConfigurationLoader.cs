using System.Text.Json;
using LoadBalancer.Configuration.ChatRoom;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Configuration.Reading;
using LoadBalancer.Configuration.Validation;

namespace LoadBalancer.Configuration;

/// <summary>Reads and checks the configuration: the file, overridden by the environment, overridden by the command line.</summary>
public static class ConfigurationLoader
{
    // The environment may have sections of other programs; in our own file every key is ours.
    private static readonly string[] RootKeys = [LoadBalancerOptions.SectionName, "$schema"]; // The second is for editors.

    /// <summary>
    /// The file that is used where the user names none: the one beside the program or, without one, that of the Debian package.
    /// </summary>
    public static string ShippedFile { get; } =
        FirstOf(Path.Combine(AppContext.BaseDirectory, "appsettings.json"), "/etc/loadbalancer/appsettings.json");

    /// <summary>Reads everything and reports every error at once; throws no exception for a mistake of the user.</summary>
    /// <param name="file">The file; null for the shipped one.</param>
    /// <param name="overrides">Command-line words such as <c>--LoadBalancer:Pools:web:Policy=First</c>.</param>
    public static LoadedConfiguration Load(string? file = null, params string[] overrides) => Load(file, null, overrides);

    /// <summary>The same, with what was pushed to the cluster in the place of some sections of the file.</summary>
    /// <param name="file">The file; null for the shipped one.</param>
    /// <param name="pushed">What was pushed; null for nothing.</param>
    /// <param name="overrides">As there.</param>
    internal static LoadedConfiguration Load(string? file, PushedText? pushed, string[] overrides)
    {
        var errors = new List<ConfigurationError>();
        if (file is "")
        {
            return new(new(), [new("--config", "names no file")], file, null, overrides);
        }
        var path = Path.GetFullPath(file ?? ShippedFile);
        var fromFile = JsonFile.Read(path, errors, out var text);
        if (errors.Count > 0)
        {
            // What was not understood is missing below, and would be reported as missing too.
            return new(new(), Located(errors, text), path, text, overrides);
        }

        var chatRoom = ChatRoomFile.TryRead(fromFile);
        var ofFile = chatRoom?.Settings ?? fromFile;
        var fromPush = pushed is null ? new() : JsonFile.Parse("the pushed configuration", pushed.Text, errors);
        if (errors.Count > 0)
        {
            return new(new(), Located(errors, pushed?.Text), path, text, overrides) { Pushed = pushed };
        }
        var settings = pushed is null ? ofFile : SharedSections.Merge(ofFile, fromPush);
        var binder = new OptionsBinder(errors, settings.Keys, Path.GetDirectoryName(path)!);
        var source = new FileSettings(settings);
        binder.RefuseUnknownKeys(new ConfigurationBuilder().Add(source).Build().GetChildren(), RootKeys);
        if (pushed is not null)
        {
            RefuseUnknownKeys(binder, fromPush);
        }
        var configuration = new ConfigurationBuilder()
            .Add(source)
            .AddEnvironmentVariables()
            .AddCommandLine(overrides)
            .Build();
        var options = binder.Bind<LoadBalancerOptions>(configuration.GetSection(LoadBalancerOptions.SectionName));
        var warnings = new List<ConfigurationError>();
        ConfigurationValidator.Validate(options, errors, warnings);

        // A setting that is overridden, or only there, is in no line of the file.
        bool IsOfText(string key) =>
            settings.TryGetValue(key, out var value) ? configuration[key] == value : !configuration.GetSection(key).Exists();
        bool IsPushed(string key) => pushed is not null && (SharedSections.Has(key)
            ? !SharedSections.IsOwnAddress(key, ofFile, fromPush) : fromPush.ContainsKey(key) && !ofFile.ContainsKey(key));
        List<ConfigurationError> Found(List<ConfigurationError> list) => Located(
            Located(list, pushed?.Text, key => IsOfText(key) && IsPushed(key)), text,
            chatRoom is null ? key => IsOfText(key) && !IsPushed(key) : null);
        errors = chatRoom?.Errors(errors) ?? errors;
        return new(options, Found(errors), path, text, overrides)
        {
            Warnings = Found(warnings),
            Pushed = pushed,
            Ignored = pushed is null ? new Dictionary<string, string?>() : SharedSections.Ignored(ofFile, fromPush),
        };
    }

    /// <summary>What is wrong with options; nothing is read of the file that they come from.</summary>
    public static IReadOnlyList<ConfigurationError> FindErrors(LoadBalancerOptions options)
    {
        var errors = new List<ConfigurationError>();
        ConfigurationValidator.Validate(options, errors, []);
        return errors;
    }

    /// <summary>The first file, unless there is only the second.</summary>
    internal static string FirstOf(string file, string other) => !File.Exists(file) && File.Exists(other) ? other : file;

    // Also those of sections that are not used: a typing error is one there too.
    private static void RefuseUnknownKeys(OptionsBinder binder, Dictionary<string, string?> pushed)
    {
        var configuration = new ConfigurationBuilder().Add(new FileSettings(pushed)).Build();
        binder.RefuseUnknownKeys(configuration.GetChildren(), RootKeys);
        binder.RefuseUnknownKeys(
            configuration.GetSection(LoadBalancerOptions.SectionName).GetChildren(),
            [.. OptionsBinder.SettingsOf(typeof(LoadBalancerOptions)).Select(setting => setting.Name)]);
    }

    // With the line of each, where it is in the file.
    private static List<ConfigurationError> Located(
        List<ConfigurationError> errors, string? text, Func<string, bool>? isFromFile = null)
    {
        if (errors.Count == 0 || text is null)
        {
            return errors;
        }
        try
        {
            var lines = new LineNumbers(text);
            return [.. errors.Select(error =>
                isFromFile?.Invoke(error.Path) == false ? error : error with { Line = lines.Find(error.Path) })];
        }
        catch (JsonException)
        {
            return errors; // One of them says so, and where.
        }
    }
}
