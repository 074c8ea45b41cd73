//! How services do, and how long packets take in the switch: from the cells of the statistics file to quantiles.

use hdrhistogram::Histogram;
use weft_pipelines::service::histogram::{CELLS, TOP, span};

use crate::report::{ConnectionsReport, DnsReport, LatencyReport, ServiceReport, TimesReport};
use crate::shm::{Labels, ReadError, Reader, Table, What};

/// Decimal digits that quantiles are worked out to: more than cells have.
const DIGITS: u8 = 3;

/// The pairs of groups that something has been counted of, by tenant and names.
///
/// # Errors
///
/// When the file can't be read.
pub fn services(reader: &Reader, labels: &Labels) -> Result<Vec<ServiceReport>, ReadError> {
    let mut all: Vec<_> = by_row(reader, labels)?.into_iter().map(|(_, report)| report).collect();
    all.sort_by(|a, b| (&a.tenant, &a.client, &a.server).cmp(&(&b.tenant, &b.client, &b.server)));
    Ok(all)
}

/// The same in the order of their rows, each with its row's number.
///
/// # Errors
///
/// When the file can't be read.
pub fn by_row(reader: &Reader, labels: &Labels) -> Result<Vec<(usize, ServiceReport)>, ReadError> {
    let Some(counted) = reader.counters("service")? else { return Ok(Vec::new()) };
    let mut times = Vec::new();
    for name in ["connect", "client_rtt", "server_rtt", "response", "dns"] {
        times.push(reader.counters(&format!("service_{name}"))?);
    }
    let time =
        |kind: usize, row| times[kind].as_ref().map_or_else(TimesReport::default, |of| of_row(of, row));
    let report = |(tenant, id, name): (u32, u32, &str)| {
        let (client, server) = name.split_once(' ')?;
        let row = id as usize;
        let of = |name: &str| counted.value(row, name).unwrap_or_default();
        let report = ServiceReport {
            tenant: labels.name(What::Tenant, tenant).unwrap_or_default().to_owned(),
            client: client.to_owned(),
            server: server.to_owned(),
            connections: ConnectionsReport {
                ok: of("accepted"),
                refused: of("refused"),
                timed_out: of("timed_out"),
                denied: of("denied"),
                reset: of("reset"),
            },
            connect: time(0, row),
            client_rtt: time(1, row),
            server_rtt: time(2, row),
            response: time(3, row),
            dns: DnsReport {
                queries: of("dns_queries"),
                noerror: of("dns_noerror"),
                nxdomain: of("dns_nxdomain"),
                servfail: of("dns_servfail"),
                refused: of("dns_refused"),
                other: of("dns_other"),
                unanswered: of("dns_unanswered"),
                time: time(4, row),
            },
        };
        (report.has_connections() || report.has_queries()).then_some((row, report))
    };
    let mut all: Vec<_> = labels.iter_of(What::Service).filter_map(report).collect();
    all.sort_by_key(|(row, _)| *row);
    Ok(all)
}

/// How long bursts were in each worker.
///
/// # Errors
///
/// When the file can't be read.
pub fn latency(reader: &Reader) -> Result<Vec<LatencyReport>, ReadError> {
    let mut all = Vec::new();
    for worker in 0..reader.workers() {
        let Some(table) = reader.counters_of("latency", worker)? else { break };
        all.push(LatencyReport { worker, time: of_row(&table, 0) });
    }
    Ok(all)
}

/// What the cells of a row come to.
pub fn of_row(table: &Table, row: usize) -> TimesReport {
    let value = |name: &str| table.value(row, name).unwrap_or_default();
    times(table.values(row, "cells").unwrap_or_default(), value("sum"), value("longest"))
}

fn times(cells: &[u64], sum: u64, longest: u64) -> TimesReport {
    let samples = cells.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    let histogram = Histogram::<u64>::new_with_bounds(1, 1 << TOP, DIGITS);
    let Some(mut histogram) = histogram.ok().filter(|_| samples > 0) else { return TimesReport::default() };
    for (cell, count) in cells.iter().enumerate().take(CELLS).filter(|(_, count)| **count > 0) {
        let span = span(cell);
        // What stands for a cell is within the bounds: nothing can be refused.
        let _ = histogram.record_n(span.start.midpoint(span.end), *count);
    }
    // Nothing was longer than the longest, though the middle of its cell may be.
    let at = |quantile| Some(histogram.value_at_quantile(quantile).min(longest.max(1)));
    TimesReport {
        samples,
        mean_ns: Some(sum / samples),
        p50_ns: at(0.5),
        p90_ns: at(0.9),
        p95_ns: at(0.95),
        p99_ns: at(0.99),
        p999_ns: at(0.999),
        max_ns: Some(longest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use weft_pipelines::service::Histograms;

    fn of(nanos: &[u64]) -> TimesReport {
        let mut histograms = Histograms::new(1);
        nanos.iter().for_each(|nanos| histograms.add(0, *nanos));
        let head = histograms.head(0);
        times(histograms.cells(0), head.sum, head.longest)
    }

    #[test]
    fn nothing_has_no_quantiles() {
        assert_eq!(of(&[]), TimesReport::default());
        let one = of(&[40_000_000]);
        assert_eq!((one.samples, one.mean_ns, one.max_ns), (1, Some(40_000_000), Some(40_000_000)));
        assert!(one.p50_ns.unwrap().abs_diff(40_000_000) < 40_000_000 / 30);
        // Beyond the last cell.
        assert_eq!(of(&[u64::MAX / 2]).max_ns, Some(u64::MAX / 2));
    }

    proptest! {
        /// The same times in a histogram that knows them to a tenth of a percent say the same to the width of a cell.
        #[test]
        fn quantiles_are_those_of_the_times(
            times in prop::collection::vec((0u32..26, 0u64..1 << 10), 1..400),
        ) {
            let nanos: Vec<u64> = times.iter().map(|(power, part)| (1_024 + part) << power).collect();
            let mut plain = Histogram::<u64>::new_with_bounds(1, 1 << TOP, 3).unwrap();
            nanos.iter().for_each(|nanos| plain.record(*nanos).unwrap());
            let mine = of(&nanos);
            for (quantile, mine) in [
                (0.5, mine.p50_ns), (0.9, mine.p90_ns), (0.95, mine.p95_ns), (0.99, mine.p99_ns), (0.999, mine.p999_ns),
            ] {
                let (wanted, mine) = (plain.value_at_quantile(quantile) as f64, mine.unwrap() as f64);
                prop_assert!((mine - wanted).abs() <= wanted * 0.035, "{quantile}: {mine}, not {wanted}");
            }
        }
    }
}
