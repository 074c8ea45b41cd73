//! Metrics as messages of OTLP: the same names, labels and values as Prometheus is given.

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::super::metrics::Snapshot;
use super::super::text::{Distribution, Family, Kind, Sample, Value};

/// What is measured, and by whom.
const SERVICE: &str = "weft";

/// Moments of a point, in nanoseconds of UNIX time.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// What only grows was 0 then.
    since: u64,
    now: u64,
}

/// What is sent of `snapshot`, taken at `now` on the host called `host`. The exporter's own counters began at `since`.
pub fn request(snapshot: &Snapshot, host: &str, since: u64, now: u64) -> ExportMetricsServiceRequest {
    let Snapshot { own, switch } = snapshot;
    let version = switch.as_ref().map_or(crate::VERSION, |switch| switch.version.as_str());
    // The names are those of OpenTelemetry's semantic conventions for resources.
    let attributes = [
        ("service.name", SERVICE),
        ("service.version", version),
        ("service.instance.id", host),
        ("host.name", host),
    ];
    let attributes = attributes.into_iter().map(|(key, value)| attribute(key, value)).collect();
    let of = |families: &[Family], since| {
        let times = Times { since, now };
        families.iter().map(|family| metric(family, times)).collect::<Vec<_>>()
    };
    let mut metrics = of(own, since);
    metrics.extend(switch.iter().flat_map(|switch| of(&switch.families, switch.since)));
    let scope = InstrumentationScope {
        name: "weft export".into(),
        version: crate::VERSION.into(),
        ..InstrumentationScope::default()
    };
    let resource = Resource { attributes, ..Resource::default() };
    let of_scope = ScopeMetrics { scope: Some(scope), metrics, ..ScopeMetrics::default() };
    let of_resource = ResourceMetrics {
        resource: Some(resource),
        scope_metrics: vec![of_scope],
        ..ResourceMetrics::default()
    };
    ExportMetricsServiceRequest { resource_metrics: vec![of_resource] }
}

fn metric(family: &Family, times: Times) -> Metric {
    let Family { name, kind, help, samples } = family;
    let data_points = samples.iter().filter_map(|sample| point(sample, *kind, times)).collect();
    let sum = |is_monotonic, data_points| {
        let aggregation_temporality = AggregationTemporality::Cumulative.into();
        Data::Sum(Sum { data_points, aggregation_temporality, is_monotonic })
    };
    let (name, data) = match kind {
        Kind::Counter => (name.clone(), sum(true, data_points)),
        Kind::Gauge => (name.clone(), Data::Gauge(Gauge { data_points })),
        // As OpenTelemetry's "Prometheus and OpenMetrics compatibility" has it for Info.
        Kind::Info => (format!("{name}_info"), sum(false, data_points)),
        Kind::Histogram => {
            let data_points = samples.iter().filter_map(|sample| distribution(sample, times)).collect();
            let aggregation_temporality = AggregationTemporality::Cumulative.into();
            (name.clone(), Data::Histogram(Histogram { data_points, aggregation_temporality }))
        }
    };
    let unit = unit_of(family).to_owned();
    Metric { name, description: help.clone(), unit, data: Some(data), ..Metric::default() }
}

fn point(sample: &Sample, kind: Kind, times: Times) -> Option<NumberDataPoint> {
    let value = match sample.value {
        Value::Times(_) => return None,
        // A number of 64 bits has its sign among them.
        Value::Number(number) => i64::try_from(number).map_or(Number::AsDouble(number as f64), Number::AsInt),
        Value::Nanoseconds(nanos) => Number::AsDouble(nanos as f64 / 1e9),
    };
    Some(NumberDataPoint {
        attributes: attributes(sample),
        start_time_unix_nano: if kind == Kind::Gauge { 0 } else { times.since },
        time_unix_nano: times.now,
        value: Some(value),
        ..NumberDataPoint::default()
    })
}

/// A histogram: unlike Prometheus's, each bucket counts what is in it alone.
fn distribution(sample: &Sample, times: Times) -> Option<HistogramDataPoint> {
    let Value::Times(of) = sample.value else { return None };
    let Distribution { samples, sum, .. } = of;
    let (explicit_bounds, below): (Vec<f64>, Vec<u64>) =
        of.bounds().map(|(bound, below)| (bound as f64 / 1e9, below)).unzip();
    // Cells are read while they are written: none may come out as less than nothing.
    let before = [0].into_iter().chain(below.iter().copied());
    let bucket_counts: Vec<u64> = below
        .iter()
        .copied()
        .chain([samples])
        .zip(before)
        .map(|(to, from)| to.saturating_sub(from))
        .collect();
    Some(HistogramDataPoint {
        attributes: attributes(sample),
        start_time_unix_nano: times.since,
        time_unix_nano: times.now,
        // Has to be the sum of the buckets.
        count: bucket_counts.iter().sum(),
        sum: Some(sum as f64 / 1e9),
        bucket_counts,
        explicit_bounds,
        ..HistogramDataPoint::default()
    })
}

fn attributes(sample: &Sample) -> Vec<KeyValue> {
    sample.labels.iter().map(|(key, value)| attribute(key, value)).collect()
}

/// The unit by UCUM, of which a name's last word is the long form; what only counts things stands in braces.
fn unit_of(family: &Family) -> &'static str {
    match family.name.rsplit('_').next() {
        _ if family.name.ends_with("_per_second") => "",
        Some("bytes") => "By",
        Some("seconds") => "s",
        Some("packets") => "{packet}",
        Some("cycles") => "{cycle}",
        _ => "",
    }
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}
