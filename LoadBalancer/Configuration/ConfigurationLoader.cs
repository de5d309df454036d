using LoadBalancer.Configuration.ChatRoom;
using LoadBalancer.Configuration.Options;
using LoadBalancer.Configuration.Reading;
using LoadBalancer.Configuration.Validation;

namespace LoadBalancer.Configuration;

/// <summary>Reads and checks the configuration: the file, overridden by the environment, overridden by the command line.</summary>
public static class ConfigurationLoader
{
    // The environment may have sections of other programs; in our own file every key is ours.
    private static readonly string[] RootKeys = [LoadBalancerOptions.SectionName];

    /// <summary>The file that is used where the user names none: the one that was shipped.</summary>
    public static string ShippedFile { get; } = Path.Combine(AppContext.BaseDirectory, "appsettings.json");

    /// <summary>Reads everything and reports every error at once; throws no exception for a mistake of the user.</summary>
    /// <param name="file">The file; null for the shipped one.</param>
    /// <param name="overrides">Command-line words such as <c>--LoadBalancer:Pools:web:Policy=First</c>.</param>
    public static LoadedConfiguration Load(string? file = null, params string[] overrides)
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
            return new(new(), errors, path, text, overrides);
        }

        var chatRoom = ChatRoomFile.TryRead(fromFile);
        fromFile = chatRoom?.Settings ?? fromFile;
        var binder = new OptionsBinder(errors, fromFile.Keys);
        binder.RefuseUnknownKeys(new ConfigurationBuilder().AddInMemoryCollection(fromFile).Build().GetChildren(), RootKeys);
        var configuration = new ConfigurationBuilder()
            .AddInMemoryCollection(fromFile)
            .AddEnvironmentVariables()
            .AddCommandLine(overrides)
            .Build();
        var options = binder.Bind<LoadBalancerOptions>(configuration.GetSection(LoadBalancerOptions.SectionName));
        var warnings = new List<ConfigurationError>();
        ConfigurationValidator.Validate(options, errors, warnings);
        return new(options, chatRoom?.Errors(errors) ?? errors, path, text, overrides) { Warnings = warnings };
    }
}
