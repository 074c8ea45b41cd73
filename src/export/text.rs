//! The text formats of Prometheus: version 0.0.4, and OpenMetrics 1.0.
//!
//! By hand, for `prometheus-client` keeps metrics of names that are known when it is built, and writes only OpenMetrics.

use core::fmt::{self, Write};

/// All samples of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Family {
    /// The name, of a counter without `_total`, of an info without `_info`.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// A sentence about it.
    pub help: String,
    /// The samples.
    pub samples: Vec<Sample>,
}

/// What a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It comes and goes.
    Gauge,
    /// Always 1; its labels say something.
    Info,
    /// How often it was no more than each of some bounds.
    Histogram,
}

/// A value of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Names and values.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: Value,
}

/// A number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// As it is.
    Number(u64),
    /// Nanoseconds, written as seconds.
    Nanoseconds(u64),
    /// How times are spread: what a sample of a histogram has, and no other.
    Times(Distribution),
}

/// How many times were no longer than some powers of two of nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// log2 of the first bound.
    pub first: u32,
    /// From the power of a bound to that of the next.
    pub step: u32,
    /// By bound: how many were no longer.
    pub below: [u64; Self::BOUNDS],
    /// How many there are.
    pub samples: u64,
    /// Nanoseconds of all together.
    pub sum: u64,
}

impl Distribution {
    /// How many bounds there are, infinity aside.
    pub const BOUNDS: usize = 12;

    /// The bounds in nanoseconds, with how many were no longer than each.
    pub fn bounds(&self) -> impl Iterator<Item = (u64, u64)> {
        (self.first..).step_by(self.step.max(1) as usize).map(|power| 1 << power.min(63)).zip(self.below)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Nanoseconds(ns) if ns % 1_000_000_000 == 0 => write!(f, "{}", ns / 1_000_000_000),
            Self::Nanoseconds(ns) => {
                let part = format!("{:09}", ns % 1_000_000_000);
                write!(f, "{}.{}", ns / 1_000_000_000, part.trim_end_matches('0'))
            }
            Self::Times(times) => write!(f, "{}", times.samples),
        }
    }
}

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus's own, version 0.0.4.
    Plain,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

impl Format {
    /// The one that a client prefers by its `Accept`. At equal weight it is OpenMetrics where that is named.
    pub fn accepted(accept: &str) -> Self {
        let (mut open, mut plain) = (0, 0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
            let mut weight = 1_000;
            for (name, value) in parts.filter_map(|part| part.split_once('=')) {
                match name.trim() {
                    // RFC 9110, section 12.4.2: three decimal places at most.
                    "q" => {
                        weight = value.trim().parse::<f64>().map_or(0, |q| (q.clamp(0.0, 1.0) * 1e3) as u32)
                    }
                    // The only version of OpenMetrics that is written.
                    "version" if kind.ends_with("openmetrics-text") && !value.trim().starts_with("1.") => {
                        weight = 0
                    }
                    _ => {}
                }
            }
            match kind.as_str() {
                "application/openmetrics-text" => open = open.max(weight),
                "text/plain" => plain = plain.max(weight),
                _ => {}
            }
        }
        if open > 0 && open >= plain { Self::OpenMetrics } else { Self::Plain }
    }

    /// Its media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The families as text.
pub fn write(families: &[Family], format: Format) -> String {
    let mut text = String::new();
    // Writing to a string never fails.
    for family in families {
        let _ = write_family(&mut text, family, format);
    }
    if format == Format::OpenMetrics {
        text += "# EOF\n";
    }
    text
}

fn write_family(text: &mut String, family: &Family, format: Format) -> fmt::Result {
    let Family { name, kind, help, samples } = family;
    let suffix = match kind {
        Kind::Counter => "_total",
        Kind::Gauge | Kind::Histogram => "",
        Kind::Info => "_info",
    };
    // OpenMetrics names the family, the older format what its samples are called.
    let (of_family, type_name) = match (format, kind) {
        (_, Kind::Histogram) => (suffix, "histogram"),
        (Format::Plain, Kind::Counter) => (suffix, "counter"),
        (Format::Plain, _) => (suffix, "gauge"),
        (Format::OpenMetrics, Kind::Counter) => ("", "counter"),
        (Format::OpenMetrics, Kind::Gauge) => ("", "gauge"),
        (Format::OpenMetrics, Kind::Info) => ("", "info"),
    };
    write!(text, "# HELP {name}{of_family} ")?;
    // The older format has no escaped quotes in its help.
    escape(text, help, format == Format::OpenMetrics);
    writeln!(text, "\n# TYPE {name}{of_family} {type_name}")?;
    for Sample { labels, value } in samples {
        if let (Kind::Histogram, Value::Times(times)) = (kind, value) {
            write_histogram(text, name, labels, times)?;
        } else {
            write!(text, "{name}{suffix}")?;
            write_labels(text, labels, None)?;
            writeln!(text, " {value}")?;
        }
    }
    Ok(())
}

fn write_histogram(
    text: &mut String,
    name: &str,
    labels: &[(&'static str, String)],
    times: &Distribution,
) -> fmt::Result {
    let bounds = times.bounds().map(|(bound, count)| (Value::Nanoseconds(bound).to_string(), count));
    for (bound, count) in bounds.chain([("+Inf".to_owned(), times.samples)]) {
        write!(text, "{name}_bucket")?;
        write_labels(text, labels, Some(&bound))?;
        writeln!(text, " {count}")?;
    }
    for (suffix, value) in [("_sum", Value::Nanoseconds(times.sum)), ("_count", Value::Number(times.samples))]
    {
        write!(text, "{name}{suffix}")?;
        write_labels(text, labels, None)?;
        writeln!(text, " {value}")?;
    }
    Ok(())
}

/// Labels in braces, and the bound of a histogram's bucket; nothing where there are none.
fn write_labels(text: &mut String, labels: &[(&'static str, String)], bound: Option<&str>) -> fmt::Result {
    let labels = labels.iter().map(|(label, of)| (*label, of.as_str()));
    let mut is_first = true;
    for (label, of) in labels.chain(bound.map(|bound| ("le", bound))) {
        write!(text, "{}{label}=\"", if is_first { '{' } else { ',' })?;
        escape(text, of, true);
        text.push('"');
        is_first = false;
    }
    if !is_first {
        text.push('}');
    }
    Ok(())
}

fn escape(text: &mut String, of: &str, quotes: bool) {
    for char in of.chars() {
        match char {
            '\\' => *text += "\\\\",
            '\n' => *text += "\\n",
            '"' if quotes => *text += "\\\"",
            char => text.push(char),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn families() -> Vec<Family> {
        let sample = |value, labels: &[(&'static str, &str)]| Sample {
            labels: labels.iter().map(|(name, of)| (*name, (*of).to_owned())).collect(),
            value,
        };
        vec![
            Family {
                name: "weft_build".into(),
                kind: Kind::Info,
                help: "The build.".into(),
                samples: vec![sample(Value::Number(1), &[("version", "0.1")])],
            },
            Family {
                name: "weft_port_rx_packets".into(),
                kind: Kind::Counter,
                help: "A \\ and\na \"quote\".".into(),
                samples: vec![
                    sample(Value::Number(u64::MAX), &[("port", "a\\b\"c\nd"), ("tenant", "")]),
                    sample(Value::Number(0), &[]),
                ],
            },
            Family {
                name: "weft_age_seconds".into(),
                kind: Kind::Gauge,
                help: "Age.".into(),
                samples: vec![
                    sample(Value::Nanoseconds(1_500_000_000), &[]),
                    sample(Value::Nanoseconds(7), &[("of", "b")]),
                    sample(Value::Nanoseconds(3_000_000_000), &[("of", "c")]),
                ],
            },
        ]
    }

    #[test]
    fn the_older_format() {
        let wanted = r#"# HELP weft_build_info The build.
# TYPE weft_build_info gauge
weft_build_info{version="0.1"} 1
# HELP weft_port_rx_packets_total A \\ and\na "quote".
# TYPE weft_port_rx_packets_total counter
weft_port_rx_packets_total{port="a\\b\"c\nd",tenant=""} 18446744073709551615
weft_port_rx_packets_total 0
# HELP weft_age_seconds Age.
# TYPE weft_age_seconds gauge
weft_age_seconds 1.5
weft_age_seconds{of="b"} 0.000000007
weft_age_seconds{of="c"} 3
"#;
        assert_eq!(write(&families(), Format::Plain), wanted);
    }

    #[test]
    fn open_metrics() {
        let wanted = r#"# HELP weft_build The build.
# TYPE weft_build info
weft_build_info{version="0.1"} 1
# HELP weft_port_rx_packets A \\ and\na \"quote\".
# TYPE weft_port_rx_packets counter
weft_port_rx_packets_total{port="a\\b\"c\nd",tenant=""} 18446744073709551615
weft_port_rx_packets_total 0
# HELP weft_age_seconds Age.
# TYPE weft_age_seconds gauge
weft_age_seconds 1.5
weft_age_seconds{of="b"} 0.000000007
weft_age_seconds{of="c"} 3
# EOF
"#;
        assert_eq!(write(&families(), Format::OpenMetrics), wanted);
    }

    #[test]
    fn a_histogram_counts_up_to_infinity() {
        let mut below = [2; Distribution::BOUNDS];
        below[0] = 1;
        let times = Distribution { first: 14, step: 2, below, samples: 3, sum: 1_500_000_000 };
        let labels = vec![("tenant", "blue".to_owned())];
        let family = Family {
            name: "weft_x_seconds".into(),
            kind: Kind::Histogram,
            help: "X.".into(),
            samples: vec![Sample { labels, value: Value::Times(times) }],
        };
        let text = write(&[family], Format::Plain);
        assert!(text.starts_with(
            "# HELP weft_x_seconds X.\n# TYPE weft_x_seconds histogram\n\
            weft_x_seconds_bucket{tenant=\"blue\",le=\"0.000016384\"} 1\n\
            weft_x_seconds_bucket{tenant=\"blue\",le=\"0.000065536\"} 2\n"
        ));
        assert!(text.ends_with(
            "weft_x_seconds_bucket{tenant=\"blue\",le=\"68.719476736\"} 2\n\
            weft_x_seconds_bucket{tenant=\"blue\",le=\"+Inf\"} 3\n\
            weft_x_seconds_sum{tenant=\"blue\"} 1.5\nweft_x_seconds_count{tenant=\"blue\"} 3\n"
        ));
    }

    #[test]
    fn a_client_gets_the_format_that_it_prefers() {
        for (accept, wanted) in [
            ("", Format::Plain),
            ("*/*", Format::Plain),
            ("text/plain", Format::Plain),
            ("application/openmetrics-text", Format::OpenMetrics),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                    text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Format::OpenMetrics,
            ),
            ("application/openmetrics-text;version=0.0.1,text/plain;q=0.5", Format::Plain),
            ("application/openmetrics-text;q=0.3, text/plain;q=0.5", Format::Plain),
            ("application/openmetrics-text;q=0", Format::Plain),
            ("application/openmetrics-text;q=x", Format::Plain),
        ] {
            assert_eq!(Format::accepted(accept), wanted, "{accept}");
        }
    }
}
