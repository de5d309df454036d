using LoadBalancer.Configuration.Reading;

namespace LoadBalancer.Configuration.Validation;

/// <summary>Says what must hold in one section of the configuration, and adds an error for what does not.</summary>
internal sealed class SectionValidator
{
    // The framework's timers end at 2^32 - 2 ms; anything near that is a typing error anyway.
    private static readonly TimeSpan LongestDuration = TimeSpan.FromDays(24);

    private readonly List<ConfigurationError> _errors;
    private readonly List<ConfigurationError> _warnings;
    private readonly HashSet<string> _reported;
    private readonly string _path;

    /// <summary>Begins with a section.</summary>
    /// <param name="errors">The errors so far, to which others are added.</param>
    /// <param name="warnings">The warnings so far, the same way.</param>
    /// <param name="path">The section's path.</param>
    public SectionValidator(List<ConfigurationError> errors, List<ConfigurationError> warnings, string path)
    {
        (_errors, _warnings, _path) = (errors, warnings, path);
        // A value that could not be read has been reported, and its setting has the default: no second error for the same key.
        _reported = errors.Select(error => error.Path).ToHashSet(StringComparer.OrdinalIgnoreCase);
    }

    private SectionValidator(SectionValidator parent, string path) =>
        (_errors, _warnings, _reported, _path) = (parent._errors, parent._warnings, parent._reported, path);

    /// <summary>The section below this one at a key, or at several: <c>Backends:b1</c>.</summary>
    public SectionValidator Below(string key) => new(this, $"{_path}:{key}");

    /// <summary>Adds an error to a setting unless the condition holds. The first error of a setting is its only one.</summary>
    /// <param name="condition">What must hold.</param>
    /// <param name="key">The setting; null: the section as a whole.</param>
    /// <param name="message">What is wrong, and what was expected.</param>
    public void Require(bool condition, string? key, string message)
    {
        var path = key is null ? _path : $"{_path}:{key}";
        if (!condition && _reported.Add(path))
        {
            _errors.Add(new(path, message));
        }
    }

    /// <summary>Adds a warning to a setting: it can be used, but is hardly what the user wants.</summary>
    public void Warn(string key, string message) => _warnings.Add(new($"{_path}:{key}", message));

    /// <summary>Requires a duration that makes sense.</summary>
    public void RequireDuration(TimeSpan value, string key, bool isZeroAllowed = false) =>
        Require((value > TimeSpan.Zero || isZeroAllowed && value == TimeSpan.Zero) && value <= LongestDuration, key,
            $"'{value}' is out of range; expected {(isZeroAllowed ? "00:00:00" : "more than 00:00:00")} to {LongestDuration}");

    /// <summary>Requires a number of at least so much, where there is one.</summary>
    /// <param name="least">The lowest value.</param>
    /// <param name="value">The number; null is allowed.</param>
    /// <param name="key">The setting.</param>
    /// <param name="orElse">What else is allowed, for the message.</param>
    public void RequireAtLeast(long least, long? value, string key, string? orElse = null) =>
        Require(value is null || value >= least, key,
            $"'{value}' is out of range; expected {least} or more{(orElse is null ? "" : $", or {orElse}")}");
}
