//! Numbers as people read them.

/// A time to two digits or more: `850ms`, `12s`, `3m20s`, `2h05m`, `4d`.
pub fn time(ns: u64) -> String {
    let (ms, s) = (ns / 1_000_000, ns / 1_000_000_000);
    match s {
        0 => format!("{ms}ms"),
        1..60 => format!("{s}s"),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        3600..86_400 => format!("{}h{:02}m", s / 3600, s / 60 % 60),
        _ => format!("{}d{:02}h", s / 86_400, s / 3600 % 24),
    }
}

/// A time to three digits, as short as packets wait: `850ns`, `12.3us`, `4.81ms`, `3.2s`; from a minute on as any other.
pub fn span(ns: u64) -> String {
    let scaled = |per: u64, unit: &str| {
        let value = ns as f64 / per as f64;
        let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
        format!("{value:.digits$}{unit}")
    };
    match ns {
        0..1_000 => format!("{ns}ns"),
        1_000..999_500 => scaled(1_000, "us"),
        999_500..999_500_000 => scaled(1_000_000, "ms"),
        999_500_000..60_000_000_000 => scaled(1_000_000_000, "s"),
        _ => time(ns),
    }
}

/// The median of times, and what 95 and 99 of 100 do not exceed: `40.9ms/45.1ms/47.1ms`.
pub fn quantiles(times: Option<[u64; 3]>) -> String {
    times.map_or_else(|| "-".to_owned(), |times| times.map(span).join("/"))
}

/// Bytes to four digits, in powers of 1024 (IEC 80000-13). JSON has them in full.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in UNITS {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, larger);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") }
}

/// A protocol by its name, or its number.
pub fn protocol_name(number: u8) -> String {
    match number {
        1 => "icmp".to_owned(),
        6 => "tcp".to_owned(),
        17 => "udp".to_owned(),
        58 => "icmpv6".to_owned(),
        132 => "sctp".to_owned(),
        number => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_told_to_three_digits() {
        let spans = [1, 999, 1_000, 12_345, 999_499, 999_500, 4_812_000, 250_000_000, 999_500_000];
        assert_eq!(
            spans.map(span),
            ["1ns", "999ns", "1.00us", "12.3us", "999us", "1.00ms", "4.81ms", "250ms", "1.00s"]
        );
        assert_eq!((span(59_900_000_000), span(200_000_000_000)), ("59.9s".into(), "3m20s".into()));
    }
}
