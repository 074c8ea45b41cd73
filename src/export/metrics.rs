//! Metrics, made from the tables of the statistics file.
//!
//! Each field of each section is a family, called `weft_SECTION_FIELD` with its unit. There is a sample for each port,
//! tenant, tunnel, rule and worker, of drops for each reason that there was, and of times for each pair of groups that there
//! are some of: none for flows, so how many samples there are is bounded by the document.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use weft_pipelines::Tick;
use weft_pipelines::service::histogram::span;

use super::text::{Distribution, Family, Kind, Sample, Value};
use super::{Progress, say, unix};
use crate::shm::field::{Field, Merge, Unit};
use crate::shm::layout::SECTIONS;
use crate::shm::{Labels, ReadError, Reader, State, Table, What};

/// A heartbeat that is younger says that the switch lives, though its process is not seen.
const FRESH_NS: u64 = 5_000_000_000;

/// What is not only growing, by section and field, of what is added over the workers.
const GAUGES: &[(&str, &str)] = &[("workers", "waiting")];

type Names = Vec<(&'static str, String)>;

/// Where metrics come from.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    reader: Option<Reader>,
    exporters: Vec<Arc<Progress>>,
    run: Option<Run>,
    /// Whether it was said that there is no switch.
    waits: bool,
}

/// A run of the switch: what it counts begins with it.
#[derive(Clone, Copy, Debug)]
struct Run {
    pid: u64,
    /// Nanoseconds of UNIX time, as first seen: the wall clock may be set meanwhile.
    since: u64,
    /// The last sign of life. A new run's begin anew.
    heartbeat: Tick,
}

/// All metrics at a moment, by who counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The exporter's own.
    pub own: Vec<Family>,
    /// The switch's, if it runs.
    pub switch: Option<OfSwitch>,
}

/// What a switch counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfSwitch {
    /// The host's name in the document.
    pub host: String,
    /// The switch's version.
    pub version: String,
    /// Since when it counts, in nanoseconds of UNIX time: the same for all of a run.
    pub since: u64,
    /// The metrics.
    pub families: Vec<Family>,
}

impl Source {
    /// The statistics file at `path`, and how far other exporters have come.
    pub const fn new(path: PathBuf, exporters: Vec<Arc<Progress>>) -> Self {
        Self { path, reader: None, exporters, run: None, waits: false }
    }

    /// All metrics at this moment.
    pub fn families(&mut self) -> Vec<Family> {
        let Snapshot { mut own, switch } = self.snapshot();
        own.extend(switch.into_iter().flat_map(|switch| switch.families));
        own
    }

    /// The same, by who counts.
    pub fn snapshot(&mut self) -> Snapshot {
        // A switch that is no more counts nothing: what its file says last is not said as if it were now.
        let switch = self.live().cloned().and_then(|reader| self.of_switch(&reader).ok());
        self.tell(switch.is_some());
        let up = Value::Number(switch.is_some().into());
        let build = vec![(vec![("version", crate::VERSION.to_owned())], Value::Number(1))];
        let mut own = vec![
            family("weft_up", Kind::Gauge, "Whether the switch runs.", vec![(vec![], up)]),
            family("weft_export_build", Kind::Info, "The version of the exporter.", build),
        ];
        if !self.exporters.is_empty() {
            let of = |name: &str, help: &str, count: fn(&Progress) -> &AtomicU64| {
                let samples = self.exporters.iter().map(|progress| {
                    let value = Value::Number(count(progress).load(Ordering::Relaxed));
                    (vec![("exporter", progress.name.to_owned())], value)
                });
                family(name, Kind::Counter, help, samples.collect())
            };
            own.extend([
                of("weft_export_records_read", "Records of flows read.", |of| &of.read),
                of(
                    "weft_export_records_lost",
                    "Records of flows overwritten before they were read: the next of their flows say the same.",
                    |of| &of.lost,
                ),
                of("weft_export_records_exported", "Records of flows handed on.", |of| &of.exported),
            ]);
        }
        Snapshot { own, switch }
    }

    /// Says once that there is no switch, and once that it is back.
    fn tell(&mut self, is_up: bool) {
        match (is_up, std::mem::replace(&mut self.waits, !is_up)) {
            (true, true) => say(format_args!("the switch is there: {}", self.path.display())),
            (false, false) => match Reader::open(&self.path) {
                Ok(_) => say("the switch has ended; waiting for it"),
                // It takes its file along.
                Err(error) if self.run.is_some() && error.is_gone() => {
                    say("the switch has ended; waiting for it")
                }
                Err(error) => say(format_args!("{error}; waiting for it")),
            },
            (true, false) | (false, true) => {}
        }
    }

    fn of_switch(&mut self, reader: &Reader) -> Result<OfSwitch, ReadError> {
        let families = of_switch(reader, unix())?;
        let labels = reader.labels()?;
        let said = |what| labels.name(what, 0).unwrap_or_default().to_owned();
        let (pid, heartbeat) = (reader.pid(), reader.heartbeat());
        // It may go on in a larger file, which is no new run.
        let known = self.run.filter(|run| run.pid == pid && run.heartbeat <= heartbeat);
        let since = known.map_or_else(|| reader.unix(Tick(0)), |run| run.since);
        self.run = Some(Run { pid, since, heartbeat });
        Ok(OfSwitch { host: said(What::Host), version: said(What::Version), since, families })
    }

    /// The file of a switch that runs.
    fn live(&mut self) -> Option<&Reader> {
        let is_current = |reader: &Reader| reader.state() == State::Running && !reader.replaced();
        if !self.reader.as_ref().is_some_and(is_current) {
            self.reader = Reader::open(&self.path).ok();
        }
        self.reader.as_ref().filter(|reader| {
            let is_fresh = reader.unix(reader.heartbeat()).saturating_add(FRESH_NS) > unix();
            reader.state() == State::Running && (reader.alive() || is_fresh)
        })
    }
}

/// What `reader` says at `now`, in nanoseconds of UNIX time.
fn of_switch(reader: &Reader, now: u64) -> Result<Vec<Family>, ReadError> {
    let labels = reader.labels()?;
    let host = labels.name(What::Host, 0).unwrap_or_default().to_owned();
    let of_host = || vec![("host", host.clone())];
    let mut build = of_host();
    build.push(("version", labels.name(What::Version, 0).unwrap_or_default().to_owned()));
    let age = now.saturating_sub(reader.unix(reader.heartbeat()));
    let gauge = |name: &str, help: &str, value| family(name, Kind::Gauge, help, vec![(of_host(), value)]);
    let counter = |name: &str, help: &str, value| family(name, Kind::Counter, help, vec![(of_host(), value)]);
    let mut all = vec![
        family("weft_build", Kind::Info, "The version of the switch.", vec![(build, Value::Number(1))]),
        gauge(
            "weft_epoch",
            "The number of the configuration that is in force.",
            Value::Number(reader.epoch().0),
        ),
        gauge(
            "weft_heartbeat_age_seconds",
            "Time since the switch last said that it lives.",
            Value::Nanoseconds(age),
        ),
        gauge(
            "weft_cycles_per_second",
            "The rate of the counter that cycles are counted by.",
            Value::Number(reader.cycles_per_second()),
        ),
        counter(
            "weft_records_written",
            "Records of flows that the workers have written.",
            Value::Number(reader.records().written()),
        ),
    ];
    for worker in 0..reader.workers() {
        let Some(table) = reader.counters_of("workers", worker)? else { continue };
        let names = [("host", host.clone()), ("worker", worker.to_string())];
        let rows = vec![(0, names.to_vec())];
        extend(&mut all, of_table(reader, "workers", "weft_worker", &table, &rows));
        if let Some(table) = reader.counters_of("latency", worker)? {
            extend(&mut all, vec![times(&table, "latency", "weft_worker_latency_seconds", BURSTS, &rows)]);
        }
    }
    let port = |_: u32, name: &str| {
        let tenant = name.split_once('/').map_or("", |(tenant, _)| tenant);
        vec![("tenant", tenant.to_owned()), ("port", name.to_owned())]
    };
    let tenant = |_: u32, name: &str| vec![("tenant", name.to_owned())];
    let peer = |_: u32, name: &str| vec![("peer", name.to_owned())];
    let rule = |parent: u32, name: &str| {
        let tenant = labels.name(What::Tenant, parent).unwrap_or_default();
        vec![("tenant", tenant.to_owned()), ("rule", name.to_owned())]
    };
    let rows = |what, names: &dyn Fn(u32, &str) -> Names| -> Vec<(usize, Names)> {
        let named = |(parent, id, name): (u32, u32, &str)| {
            (id as usize, of_host().into_iter().chain(names(parent, name)).collect())
        };
        labels.iter_of(what).map(named).collect()
    };
    let (ports, tenants) = (rows(What::Port, &port), rows(What::Tenant, &tenant));
    for (section, prefix, rows) in [
        ("ports", "weft_port", &ports),
        ("tenants", "weft_tenant", &tenants),
        ("tunnels", "weft_tunnel", &rows(What::Tunnel, &peer)),
        ("rules", "weft_rule", &rows(What::Rule, &rule)),
    ] {
        if let Some(table) = reader.counters(section)? {
            all.extend(of_table(reader, section, prefix, &table, rows));
        }
    }
    let pair = |parent: u32, name: &str| {
        let (client, server) = name.split_once(' ').unwrap_or((name, ""));
        let tenant = labels.name(What::Tenant, parent).unwrap_or_default();
        let names = [("tenant", tenant), ("client", client), ("server", server)];
        names.map(|(label, of)| (label, of.to_owned())).to_vec()
    };
    all.extend(services(reader, &rows(What::Service, &pair))?);
    if let Some(table) = reader.counters("port_drops")? {
        all.push(by_reason(&table, &labels, &of_host()));
        let help = "Packets dropped at the port, by reason; reasons that there were.";
        all.push(drops("weft_port_dropped_packets", help, &table, &ports, &labels));
    }
    if let Some(table) = reader.counters("tenant_drops")? {
        let help = "Packets dropped of the tenant, by reason; reasons that there were.";
        all.push(drops("weft_tenant_dropped_packets", help, &table, &tenants, &labels));
    }
    all.retain(|family| !family.samples.is_empty());
    Ok(all)
}

/// A family for each field of a table, with those of its rows that have names.
fn of_table(
    reader: &Reader,
    section: &str,
    prefix: &str,
    table: &Table,
    rows: &[(usize, Names)],
) -> Vec<Family> {
    // When a row was written, the heartbeat tells well enough.
    let fields = table.fields().iter().filter(|field| field.count == 1 && field.name != "written");
    let families = fields.map(|field| {
        let (name, kind) = (format!("{prefix}_{}", with_unit(field)), kind_of(section, field));
        let value = |value: u64| match field.unit {
            Unit::Nanoseconds => Value::Nanoseconds(value),
            Unit::Tick if value > 0 => Value::Nanoseconds(reader.unix(Tick(value))),
            _ => Value::Number(value),
        };
        let sample = |(row, names): &(usize, Names)| {
            table.value(*row, &field.name).map(|number| (names.clone(), value(number)))
        };
        family(&name, kind, help_of(section, &field.name), rows.iter().filter_map(sample).collect())
    });
    families.collect()
}

/// The first bound, and the step, of histograms of services: 16.4 µs to 68.7 s, each four times the one before.
const SERVICES: (u32, u32) = (14, 2);
/// The same of bursts in a worker: 1.02 µs to 2.1 ms, each twice the one before.
const BURSTS: (u32, u32) = (10, 1);

/// What is counted and timed by pair of groups, of pairs that something was counted of.
fn services(reader: &Reader, pairs: &[(usize, Names)]) -> Result<Vec<Family>, ReadError> {
    let mut all = Vec::new();
    if let Some(table) = reader.counters("service")? {
        let has_any =
            |row: usize| table.row(row).is_some_and(|row| row.iter().skip(1).any(|value| *value > 0));
        let rows: Vec<_> = pairs.iter().filter(|(row, _)| has_any(*row)).cloned().collect();
        all.extend(of_table(reader, "service", "weft_service", &table, &rows));
    }
    for kind in ["connect", "client_rtt", "server_rtt", "response", "dns"] {
        let section = format!("service_{kind}");
        if let Some(table) = reader.counters(&section)? {
            let has_any = |row: usize| table.value(row, "samples").is_some_and(|samples| samples > 0);
            let rows: Vec<_> = pairs.iter().filter(|(row, _)| has_any(*row)).cloned().collect();
            all.push(times(&table, &section, &format!("weft_{section}_seconds"), SERVICES, &rows));
        }
    }
    Ok(all)
}

/// A histogram for each of `rows`.
fn times(
    table: &Table,
    section: &str,
    name: &str,
    (first, step): (u32, u32),
    rows: &[(usize, Names)],
) -> Family {
    let sample = |(row, names): &(usize, Names)| {
        let cells = table.values(*row, "cells").unwrap_or_default();
        let mut times = Distribution { first, step, ..Distribution::default() };
        for (cell, count) in cells.iter().enumerate().filter(|(_, count)| **count > 0) {
            // Cells meet at powers of two.
            let place = times.bounds().position(|(bound, _)| span(cell).end <= bound);
            times.below[place.unwrap_or(Distribution::BOUNDS)..].iter_mut().for_each(|below| *below += count);
            times.samples += count;
        }
        times.sum = table.value(*row, "sum").unwrap_or_default();
        (names.clone(), Value::Times(times))
    };
    let help = SECTIONS.iter().find(|of| of.name == section).map_or("Of another version.", |of| of.help);
    family(name, Kind::Histogram, help, rows.iter().map(sample).collect())
}

/// Adds families, each to that of its name if there is one.
fn extend(all: &mut Vec<Family>, more: Vec<Family>) {
    for family in more {
        match all.iter_mut().find(|of| of.name == family.name) {
            Some(of) => of.samples.extend(family.samples),
            None => all.push(family),
        }
    }
}

/// A field's name with its unit at the end.
fn with_unit(field: &Field) -> String {
    let unit = match field.unit {
        Unit::Packets => "packets",
        Unit::Bytes => "bytes",
        Unit::Cycles => "cycles",
        Unit::Nanoseconds => "seconds",
        Unit::Tick => "timestamp_seconds",
        Unit::Bare | Unit::Events | Unit::Unknown => return field.name.to_string(),
    };
    match field.name.strip_suffix(unit) {
        Some(rest) if rest.is_empty() || rest.ends_with('_') => field.name.to_string(),
        _ => format!("{}_{unit}", field.name),
    }
}

fn kind_of(section: &str, field: &Field) -> Kind {
    let is_gauge = GAUGES.contains(&(section, &*field.name)) || matches!(field.unit, Unit::Bare | Unit::Tick);
    if is_gauge || field.merge != Merge::Sum { Kind::Gauge } else { Kind::Counter }
}

/// What this version knows of a field; the file of another may have more.
fn help_of(section: &str, field: &str) -> &'static str {
    let section = SECTIONS.iter().find(|of| of.name == section);
    let spec = section.and_then(|section| section.fields.iter().find(|spec| spec.name == field));
    spec.map_or("Of another version.", |spec| spec.help)
}

/// Drops of all ports together: all reasons, also those that there were none for.
fn by_reason(table: &Table, labels: &Labels, of_host: &Names) -> Family {
    let mut sums = Vec::new();
    for row in 0..table.len() {
        let values = table.values(row, "packets").unwrap_or_default();
        sums.resize(sums.len().max(values.len()), 0_u64);
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum = sum.wrapping_add(*value));
    }
    let sample = |(reason, sum): (u32, u64)| (with_reason(of_host, labels, reason), Value::Number(sum));
    let samples = (0..).zip(sums).map(sample).collect();
    family("weft_dropped_packets", Kind::Counter, "Packets dropped at all ports, by reason.", samples)
}

fn drops(name: &str, help: &str, table: &Table, rows: &[(usize, Names)], labels: &Labels) -> Family {
    let mut samples = Vec::new();
    for (row, names) in rows {
        let values = table.values(*row, "packets").unwrap_or_default();
        for (reason, count) in (0..).zip(values).filter(|(_, count)| **count > 0) {
            samples.push((with_reason(names, labels, reason), Value::Number(*count)));
        }
    }
    family(name, Kind::Counter, help, samples)
}

fn with_reason(names: &Names, labels: &Labels, reason: u32) -> Names {
    let name = labels.name(What::Reason, reason).map_or_else(|| reason.to_string(), str::to_owned);
    names.iter().cloned().chain([("reason", name)]).collect()
}

fn family(name: &str, kind: Kind, help: &str, samples: Vec<(Names, Value)>) -> Family {
    let samples = samples.into_iter().map(|(labels, value)| Sample { labels, value }).collect();
    Family { name: name.to_owned(), kind, help: help.to_owned(), samples }
}

#[cfg(test)]
mod tests;
