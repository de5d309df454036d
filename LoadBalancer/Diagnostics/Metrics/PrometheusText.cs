using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text;

namespace LoadBalancer.Diagnostics.Metrics;

/// <summary>
/// Writes the instruments of a meter in Prometheus' text format, version 0.0.4, in the order in which they were created. Names follow
/// from those of the instruments by the rules of OpenTelemetry: <c>loadbalancer.request.duration</c> in <c>s</c> is
/// <c>loadbalancer_request_duration_seconds</c>, and a counter ends in <c>_total</c>.
/// <para>
/// No library fits: OpenTelemetry's exporter is a beta, and both it and prometheus-net keep the counts of histograms themselves, with a
/// look-up for every request, and keep series of backends that are gone.
/// </para>
/// </summary>
internal static class PrometheusText
{
    /// <summary>All metrics, as they are at this moment.</summary>
    public static string Of(NodeMetrics metrics)
    {
        var families = new List<Family>();
        using var listener = new MeterListener();
        listener.SetMeasurementEventCallback<long>((_, value, tags, family) => ((Family)family!).Add(value, tags));
        listener.SetMeasurementEventCallback<double>((_, value, tags, family) => ((Family)family!).Add(value, tags));
        listener.InstrumentPublished = (instrument, _) =>
        {
            if (instrument.Meter != metrics.Meter)
            {
                return;
            }
            if (instrument.IsObservable)
            {
                families.Add(new Family(instrument));
                listener.EnableMeasurementEvents(instrument, families[^1]);
            }
            else if (metrics.Histograms.TryGetValue(instrument, out var read))
            {
                families.Add(new Family(instrument)); // Not enabled: then each request would have to tell it its duration.
                families[^1].Add(read());
            }
        };
        listener.Start();
        listener.RecordObservableInstruments();
        return string.Concat(families);
    }

    /// <summary>The lines of one metric.</summary>
    private sealed class Family
    {
        private readonly StringBuilder _text = new();
        private readonly string _name;
        private readonly IReadOnlyList<double> _bounds = [];

        public Family(Instrument instrument)
        {
            var kind = instrument.GetType().GetGenericTypeDefinition();
            var type = kind == typeof(ObservableCounter<>) ? "counter" : kind == typeof(Histogram<>) ? "histogram" : "gauge";
            _bounds = (instrument as Histogram<double>)?.Advice?.HistogramBucketBoundaries ?? [];
            _name = instrument.Name.Replace('.', '_');
            var suffix = instrument.Unit switch { "s" => "_seconds", "By" => "_bytes", _ => "" }; // {request} and the like are no unit
            _name += _name.EndsWith(suffix, StringComparison.Ordinal) ? "" : suffix;
            _name += type == "counter" ? "_total" : "";
            _text.Append(CultureInfo.InvariantCulture, $"# HELP {_name} {instrument.Description}\n# TYPE {_name} {type}\n");
        }

        public void Add(double value, ReadOnlySpan<KeyValuePair<string, object?>> tags) => AddLine("", tags, null, value);

        public void Add(IEnumerable<HistogramSample> samples)
        {
            foreach (var (tags, counts) in samples)
            {
                var total = 0L;
                for (var i = 0; i < counts.Buckets.Length; i++)
                {
                    total += counts.Buckets[i];
                    AddLine("_bucket", tags, i < _bounds.Count ? Number(_bounds[i]) : "+Inf", total);
                }
                AddLine("_sum", tags, null, counts.Sum.TotalSeconds);
                AddLine("_count", tags, null, total);
            }
        }

        public override string ToString() => _text.ToString();

        private void AddLine(string suffix, ReadOnlySpan<KeyValuePair<string, object?>> tags, string? bound, double value)
        {
            _text.Append(_name).Append(suffix);
            var separator = '{';
            foreach (var (name, label) in tags)
            {
                AddLabel(name, Escaped(Convert.ToString(label, CultureInfo.InvariantCulture)!), ref separator);
            }
            if (bound is not null)
            {
                AddLabel("le", bound, ref separator);
            }
            _text.Append(separator == '{' ? " " : "} ").Append(Number(value)).Append('\n');
        }

        private void AddLabel(string name, string value, ref char separator)
        {
            _text.Append(separator).Append(name).Append("=\"").Append(value).Append('"');
            separator = ',';
        }

        private static string Escaped(string value) => value.Replace("\\", "\\\\").Replace("\"", "\\\"").Replace("\n", "\\n");

        private static string Number(double value) => value.ToString("R", CultureInfo.InvariantCulture);
    }
}
