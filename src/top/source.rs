//! Looks at a switch's statistics file, and at the next one when that is replaced.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::flows::Flows;
use super::history::History;
use super::meter::Meter;
use super::sample::{Dropped, Head, Port, Rule, Sample, Service, Status, Tenant, Traffic, Worker};
use crate::flows::names::Names;
use crate::report::ServiceReport;
use crate::service;
use crate::shm::{Labels, Next, ReadError, Reader, Records, State, What};

/// The reader's time after which a switch that shows no life is said to be silent.
const SILENT: Duration = Duration::from_secs(3);
/// The same of one whose process is not there.
const GONE: Duration = Duration::from_secs(1);
/// Records that are read at one look, at most.
const RECORDS: usize = 500_000;

/// A switch to look at.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    reader: Reader,
    records: Records,
    meters: Meters,
    /// The last sign of life, and when it was first seen, by the reader's clock.
    life: (u64, Duration),
    /// Records that were lost in the files before.
    lost: u64,
    /// It has been looked at after its end.
    is_over: bool,
}

/// The counters of each section.
#[derive(Debug, Default)]
struct Meters {
    workers: Meter,
    ports: Meter,
    port_drops: Meter,
    tenants: Meter,
    rules: Meter,
    services: Meter,
    /// What the rows are called, to know when a row is of something else.
    labels: Labels,
}

impl Source {
    /// The switch whose file is at `path`, and a first look at it.
    ///
    /// # Errors
    ///
    /// When the file can't be read.
    pub fn open(path: &Path, clock: Duration) -> Result<(Self, Sample), ReadError> {
        let reader = Reader::open(path)?;
        let mut sample = Sample {
            status: Status::Running,
            head: Head::default(),
            tenants: Vec::new(),
            ports: Vec::new(),
            drops: Vec::new(),
            workers: Vec::new(),
            rules: Vec::new(),
            services: Vec::new(),
            queries: Vec::new(),
            flows: Flows::default(),
            names: Names::new(&reader)?,
            packets: History::default(),
            dropped: History::default(),
        };
        let mut source = Self {
            path: path.to_owned(),
            records: reader.records(),
            meters: Meters::default(),
            life: (reader.heartbeat().0, clock),
            lost: 0,
            is_over: false,
            reader,
        };
        source.read(&mut sample)?;
        Ok((source, sample))
    }

    /// Looks again. `clock` is the reader's own time since some moment: it only tells a switch that shows no life.
    pub fn look(&mut self, sample: &mut Sample, clock: Duration) {
        // Looked at first: what was written before is there then.
        let status = self.status(clock);
        if !self.is_over
            && let Err(error) = self.read(sample)
        {
            sample.status = Status::Unreadable(error.to_string());
            self.reopen(sample, clock);
            return;
        }
        sample.status = status;
        self.is_over = sample.status == Status::Ended;
        if matches!(sample.status, Status::Ended | Status::Silent(_)) {
            sample.rest();
        }
        if sample.status != Status::Running {
            self.reopen(sample, clock);
        }
    }

    fn status(&mut self, clock: Duration) -> Status {
        let beat = self.reader.heartbeat().0;
        if beat != self.life.0 {
            self.life = (beat, clock);
        }
        let silent = clock.saturating_sub(self.life.1);
        match self.reader.state() {
            State::Superseded => Status::Superseded,
            // The process may be one of another PID namespace: as long as its heart beats it lives.
            State::Running if silent < GONE => Status::Running,
            State::Running if !self.reader.alive() => Status::Ended,
            State::Running if silent < SILENT => Status::Running,
            State::Running => Status::Silent(silent.as_secs()),
            _ => Status::Ended,
        }
    }

    /// Goes on in the file that is there now, if that is another one.
    fn reopen(&mut self, sample: &mut Sample, clock: Duration) {
        if !self.reader.replaced() {
            return;
        }
        // Whoever makes a new one makes it whole before it has its name: what can't be opened is tried again later.
        let opened = Reader::open(&self.path).and_then(|reader| Ok((Names::new(&reader)?, reader)));
        let (names, reader) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                sample.status = Status::Unreadable(error.to_string());
                return;
            }
        };
        self.lost = self.missed();
        if reader.instance() != self.reader.instance() {
            // Another run: it counts from the start, and knows nothing of the flows before.
            self.meters = Meters::default();
            (sample.flows, self.lost) = (Flows::default(), 0);
            (sample.packets, sample.dropped) = Default::default();
        }
        sample.names = names;
        self.records = reader.records();
        self.life = (reader.heartbeat().0, clock);
        self.reader = reader;
        self.is_over = false;
        // The next look finds out how it stands.
        sample.status = match self.read(sample) {
            Ok(()) => Status::Running,
            Err(error) => Status::Unreadable(error.to_string()),
        };
    }

    /// Records that were overwritten before they were read.
    fn missed(&self) -> u64 {
        self.lost.saturating_add(self.records.lost())
    }

    fn read(&mut self, sample: &mut Sample) -> Result<(), ReadError> {
        let reader = &self.reader;
        sample.names.refresh(reader)?;
        let now = reader.heartbeat().0;
        self.meters.look(reader, sample.names.labels(), now)?;
        for _ in 0..RECORDS {
            match self.records.next() {
                Next::Record(found) => sample.flows.tell(&found.record),
                Next::Lost(_) => {}
                Next::Nothing => break,
            }
        }
        sample.flows.expire(now);
        let (meters, labels) = (&self.meters, sample.names.labels());
        let name = |what| labels.name(what, 0).unwrap_or_default().to_owned();
        sample.ports = meters.ports();
        let mut traffic = Traffic::default();
        sample.ports.iter().for_each(|port| traffic.add(&port.traffic));
        sample.head = Head {
            host: name(What::Host),
            version: name(What::Version),
            epoch: reader.epoch().0,
            now,
            started: reader.unix(weft_pipelines::Tick(0)),
            traffic,
            lost: self.missed(),
        };
        sample.tenants = meters.tenants(&sample.ports);
        sample.drops = meters.drops();
        sample.workers = meters.workers(reader.cycles_per_second());
        sample.rules = meters.rules(now);
        (sample.services, sample.queries) = meters.services(service::by_row(reader, labels)?);
        sample.packets.push(now, traffic.rx_packets);
        sample.dropped.push(now, traffic.drops);
        Ok(())
    }
}

impl Meters {
    fn look(&mut self, reader: &Reader, labels: &Labels, now: u64) -> Result<(), ReadError> {
        if self.labels.generation != labels.generation {
            self.rename(labels);
        }
        for (name, meter) in [
            ("workers", &mut self.workers),
            ("ports", &mut self.ports),
            ("port_drops", &mut self.port_drops),
            ("tenants", &mut self.tenants),
            ("rules", &mut self.rules),
            ("service", &mut self.services),
        ] {
            for worker in 0..reader.workers() {
                if let Some(table) = reader.counters_of(name, worker)? {
                    meter.look(worker, table, now);
                }
            }
        }
        Ok(())
    }

    /// Takes up other names. A row that is of something else now begins anew.
    fn rename(&mut self, labels: &Labels) {
        let before = std::mem::replace(&mut self.labels, labels.clone());
        let others =
            |what| before.iter_of(what).filter(move |(of, id, text)| labels.of(what, *of, *id) != Some(text));
        for (_, row, _) in others(What::Port) {
            self.ports.forget(row as usize);
            self.port_drops.forget(row as usize);
        }
        others(What::Tenant).for_each(|(_, row, _)| self.tenants.forget(row as usize));
        others(What::Rule).for_each(|(_, row, _)| self.rules.forget(row as usize));
        others(What::Service).for_each(|(_, row, _)| self.services.forget(row as usize));
    }

    fn ports(&self) -> Vec<Port> {
        let of = &self.ports;
        let port = |(_, id, name): (u32, u32, &str)| {
            let row = id as usize;
            let rate = |name| of.rate(row, name);
            let traffic = Traffic {
                rx_packets: rate("rx_packets"),
                rx_bits: rate("rx_bytes") * 8.0,
                tx_packets: rate("tx_packets"),
                tx_bits: rate("tx_bytes") * 8.0,
                drops: rate("drops"),
                held_back: (rate("held_back") / 1e9).min(1.0),
                waited: rate("to_guest_waited") + rate("to_fabric_waited"),
                marked: rate("to_guest_marked") + rate("to_fabric_marked"),
                dropped: of.total(row, "drops"),
            };
            Port { name: name.to_owned(), traffic }
        };
        self.labels.iter_of(What::Port).map(port).collect()
    }

    fn tenants(&self, ports: &[Port]) -> Vec<Tenant> {
        let of = &self.tenants;
        let tenant = |(_, id, name): (u32, u32, &str)| {
            let row = id as usize;
            let mut tenant = Tenant { name: name.to_owned(), ..Tenant::default() };
            let is_its = |port: &&Port| port.name.split_once('/').is_some_and(|(tenant, _)| tenant == name);
            for port in ports.iter().filter(is_its) {
                tenant.ports += 1;
                tenant.traffic.add(&port.traffic);
            }
            (tenant.traffic.drops, tenant.traffic.dropped) = (of.rate(row, "drops"), of.total(row, "drops"));
            tenant.to_fabric = of.rate(row, "to_fabric_bytes") * 8.0;
            tenant.from_fabric = of.rate(row, "from_fabric_bytes") * 8.0;
            tenant
        };
        self.labels.iter_of(What::Tenant).map(tenant).collect()
    }

    fn drops(&self) -> Vec<Dropped> {
        let of = &self.port_drops;
        let ports: Vec<_> =
            self.labels.iter_of(What::Port).map(|(_, row, name)| (row as usize, name)).collect();
        let helps: BTreeMap<u32, &str> =
            self.labels.iter_of(What::ReasonHelp).map(|(_, id, text)| (id, text)).collect();
        let reason = |(_, id, name): (u32, u32, &str)| {
            let column = id as usize;
            let count = |(row, name): &(usize, _)| (of.total_at(*row, "packets", column), *name);
            let mut counts: Vec<(u64, &str)> =
                ports.iter().map(count).filter(|(count, _)| *count > 0).collect();
            counts.sort_by(|a, b| b.cmp(a));
            let texts: Vec<String> = counts.iter().map(|(count, name)| format!("{name} {count}")).collect();
            Dropped {
                reason: name.to_owned(),
                help: helps.get(&id).copied().unwrap_or_default().to_owned(),
                rate: ports.iter().map(|(row, _)| of.rate_at(*row, "packets", column)).sum(),
                total: counts.iter().fold(0, |sum, (count, _)| sum.saturating_add(*count)),
                ports: texts.join(", "),
            }
        };
        self.labels.iter_of(What::Reason).map(reason).filter(|drop| drop.total > 0).collect()
    }

    fn workers(&self, cycles_per_second: u64) -> Vec<Worker> {
        let of = &self.workers;
        let worker = |id: usize| {
            let rate = |name| of.of_worker(id, 0, name).0;
            let (packets, polls, busy) = (rate("packets"), rate("polls"), rate("busy_cycles"));
            Worker {
                id: id as u64,
                packets,
                cost: (packets > 0.0).then(|| busy / packets),
                load: (busy / cycles_per_second.max(1) as f64).min(1.0),
                polls,
                empty: (polls > 0.0).then(|| (rate("empty_polls") / polls).min(1.0)),
                handed_over: rate("handed_over"),
                received_over: rate("received_over"),
                sleeps: rate("sleeps"),
                waiting: of.of_worker(id, 0, "waiting").1,
            }
        };
        (0..of.workers()).map(worker).collect()
    }

    fn rules(&self, now: u64) -> Vec<Rule> {
        let of = &self.rules;
        let rule = |(tenant, id, name): (u32, u32, &str)| {
            let row = id as usize;
            let last_hit = of.largest(row, "last_hit");
            Rule {
                tenant: self.labels.name(What::Tenant, tenant).unwrap_or_default().to_owned(),
                name: name.to_owned(),
                hits: of.rate(row, "hits"),
                denied: of.rate(row, "denied"),
                would_deny: of.rate(row, "would_deny"),
                hit: of.total(row, "hits"),
                denied_total: of.total(row, "denied"),
                last_hit: (last_hit > 0).then(|| now.saturating_sub(last_hit)),
            }
        };
        self.labels.iter_of(What::Rule).map(rule).collect()
    }
    /// Those with connections, and those with queries.
    fn services(&self, reports: Vec<(usize, ServiceReport)>) -> (Vec<Service>, Vec<Service>) {
        let of = &self.services;
        let (mut connections, mut queries) = (Vec::new(), Vec::new());
        for (row, report) in reports {
            if report.has_queries() {
                queries.push(Service { report: report.clone(), rate: of.rate(row, "dns_queries") });
            }
            if report.has_connections() {
                let outcomes = ["accepted", "refused", "timed_out", "denied"];
                connections
                    .push(Service { report, rate: outcomes.iter().map(|name| of.rate(row, name)).sum() });
            }
        }
        (connections, queries)
    }
}
