//! A switch that a test writes, looked at as a person does.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use weft_pipelines::counters::{PortCounters, Sizes};
use weft_pipelines::service::{Histograms, Row, Time};
use weft_pipelines::{Counters, Epoch, PortId, Reason, TenantId, Tick};

use super::sample::Status;
use super::screen::{Theme, draw};
use super::views::VIEWS;
use super::*;
use crate::shm::record::{End, Kind, Record, Ruling, State, mapped};
use crate::shm::{Capacity, FILE, Label, Reader, Settings, StatsFile, What, WorkerStats};
use crate::worker::Work;

const S: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;
const SIZES: Sizes = Sizes { ports: 4, tenants: 2, tunnels: 0, rules: 3, pairs: 3 };

/// A statistics file that a test writes.
pub struct Switch {
    dir: tempfile::TempDir,
    file: Option<StatsFile>,
    workers: Vec<WorkerStats>,
    counters: Counters,
    work: Work,
}

impl Switch {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut switch = Self {
            dir,
            file: None,
            workers: Vec::new(),
            counters: Counters::new(SIZES),
            work: Work::default(),
        };
        switch.start(1, 0);
        switch
    }

    /// Makes the file anew.
    fn start(&mut self, instance: u64, now: u64) {
        let settings = Settings {
            workers: NonZeroUsize::new(2).unwrap(),
            capacity: Capacity { records: 64, ..Capacity::of(SIZES) },
            instance,
            cycles_per_second: 1_000_000,
            epoch: Epoch(3),
            sizes: SIZES,
            now: Tick(now),
            unix: 1_700_000_000 * S + now,
        };
        let (mut file, workers) = StatsFile::create(&self.path(), &settings).unwrap();
        file.labels(labels()).unwrap();
        (self.file, self.workers) = (Some(file), workers);
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(FILE)
    }

    pub fn reader(&self) -> Reader {
        Reader::open(&self.path()).unwrap()
    }

    pub fn port(&mut self, port: u16) -> &mut PortCounters {
        self.counters.port(PortId(port))
    }

    /// Writes all of the first worker, of the second as much of nothing.
    pub fn publish(&mut self, now: u64) {
        let nothing = Counters::new(SIZES);
        let none = Counters::default();
        self.workers[0].publish_all([&self.counters, &none], &self.work, Tick(now));
        self.workers[0].publish_all_times(&self.counters.service, &Histograms::new(1), Tick(now));
        self.workers[1].publish_all([&nothing, &none], &Work::default(), Tick(now));
        self.file.as_ref().unwrap().heartbeat(Tick(now), 1_700_000_000 * S + now);
    }

    /// A second of traffic.
    fn second(&mut self, now: u64) {
        let web = self.port(0);
        web.rx.packets += 1_000;
        web.rx.bytes += 1_250_000;
        web.drops.add(Reason::NotHere, 3);
        web.drops.add(Reason::PolicyDenied, 40);
        web.metered.held_back += S / 4;
        let db = self.port(1);
        db.tx.packets += 900;
        db.tx.bytes += 1_000_000;
        db.to_guest.waited += 90;
        db.to_guest.marked += 9;
        self.counters.tenant(TenantId(0)).drops.add(Reason::PolicyDenied, 40);
        self.counters.tenant(TenantId(0)).to_fabric.bytes += 125_000;
        self.counters.rules[1].hits += 12;
        self.counters.rules[1].last_hit = Tick(now);
        self.counters.rules[0].denied += 40;
        let service = &mut self.counters.service;
        service.count(Row(0), |of| {
            of.accepted += 20;
            of.refused += 1;
        });
        for millis in 1..=20 {
            service.add(Row(0), Time::Connect, millis * MS);
            service.add(Row(0), Time::ServerRtt, millis * MS / 2);
            service.add(Row(0), Time::Response, millis * 3 * MS);
        }
        service.count(Row(1), |of| {
            of.dns_queries += 4;
            of.dns_noerror += 2;
            of.dns_servfail += 1;
        });
        service.add(Row(1), Time::Dns, 55 * MS);
        service.count(Row(2), |of| of.denied += 40);
        self.work.packets += 1_000;
        self.work.busy_cycles += 420_000;
        self.work.polls += 10_000;
        self.work.empty_polls += 9_000;
        self.work.handed_over += 500;
        self.publish(now);
    }

    fn tell(&mut self, flow: u64, written: u64, bytes: u64) {
        self.workers[0].record(&record(flow, written, bytes));
    }
}

fn labels() -> Vec<Label> {
    let ports = ["blue/web1", "blue/db1", "red/web1", "up0"];
    let ports = ports.iter().zip(0..).map(|(name, id)| Label::new(What::Port, id, *name));
    let others = [
        Label::new(What::Host, 0, "hv-a"),
        Label::new(What::Version, 0, "0.1.0"),
        Label::new(What::Tenant, 0, "blue"),
        Label::new(What::Tenant, 1, "red"),
        Label::new(What::Rule, 0, "default").of(0),
        Label::new(What::Rule, 1, "web-to-db").of(0),
        Label::new(What::Rule, 2, "default").of(1),
        Label::new(What::Service, 0, "web db").of(0),
        Label::new(What::Service, 1, "web resolvers").of(0),
        Label::new(What::Service, 2, "- web").of(1),
        Label::new(What::Endpoint, 0, "10.1.0.11 blue/web1").of(1001),
        Label::new(What::Endpoint, 1, "10.1.0.12 blue/db1").of(1001),
    ];
    ports.chain(others).collect()
}

fn record(flow: u64, written: u64, bytes: u64) -> Record {
    Record {
        flow,
        kind: Kind::Update,
        end: End::Open,
        state: State::TcpEstablished,
        ruling: Ruling::Allowed,
        started: Tick(0),
        last: Tick(written),
        written: Tick(written),
        family: 4,
        protocol: 6,
        vni: 1001,
        initiator: mapped([10, 1, 0, 11].into()),
        responder: mapped([10, 1, 0, 12].into()),
        initiator_l4: 40_000 + flow as u16,
        responder_l4: 5432,
        initiator_bytes: bytes,
        initiator_packets: bytes / 1_000,
        rule: 1,
        ..Record::default()
    }
}

/// A switch with traffic, looked at each second for ten.
fn looked() -> (Switch, Source, Top) {
    let mut switch = Switch::new();
    switch.second(S);
    let (mut source, sample) = Source::open(&switch.path(), Duration::ZERO).unwrap();
    let mut top = Top::new(sample, Duration::from_secs(1));
    for second in 2..=10 {
        switch.second(second * S);
        if second == 9 {
            switch.tell(1, 9 * S, 9_000_000);
            switch.tell(2, 9 * S, 90_000);
            switch.workers[0].record(&Record {
                end: End::Denied,
                initiator_l4: 7,
                rule: 0,
                ..record(0, 9 * S, 60)
            });
        }
        source.look(&mut top.sample, Duration::from_secs(second));
    }
    top.arrange();
    (switch, source, top)
}

fn drawn(top: &mut Top, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, top, Theme { colour: true })).unwrap();
    // Of nothing no text can be made.
    let text = if width > 0 { terminal.backend().to_string() } else { String::new() };
    text.lines().map(|line| line.trim_matches('"').trim_end().to_owned() + "\n").collect()
}

#[test]
fn each_view_shows_what_its_switch_does() {
    let (_switch, _source, mut top) = looked();
    for (number, view) in VIEWS.iter().enumerate() {
        top.show(number);
        insta::assert_snapshot!(view.name, drawn(&mut top, 132, 18));
    }
    insta::assert_snapshot!("once", page::once(&mut top, 0..VIEWS.len()));
}

#[test]
fn a_small_terminal_shows_what_fits() {
    let (_switch, _source, mut top) = looked();
    top.show(1);
    insta::assert_snapshot!("small", drawn(&mut top, 40, 8));
    insta::assert_snapshot!("tiny", drawn(&mut top, 10, 3));
    top.press(Key::Char('h'));
    insta::assert_snapshot!("keys", drawn(&mut top, 60, 20));
}

fn names(top: &Top) -> Vec<String> {
    let cell = |row: &usize| (top.view().cell)(top.shown(), *row, 0).text();
    top.table().order.iter().map(cell).collect()
}

#[test]
fn rows_are_sorted_and_those_that_are_equal_stay() {
    let (_switch, _source, mut top) = looked();
    top.press(Key::Char('2'));
    assert_eq!(names(&top), ["blue/web1", "blue/db1", "red/web1", "up0"]);
    top.press(Key::Char('I'));
    assert_eq!(names(&top), ["blue/db1", "red/web1", "up0", "blue/web1"]);
    // The next column: bits sent; the one before it again; then names.
    top.press(Key::Char('>'));
    assert_eq!(names(&top), ["blue/db1", "blue/web1", "red/web1", "up0"]);
    top.press(Key::Char('<'));
    top.press(Key::Char('<'));
    assert_eq!(names(&top), ["blue/db1", "blue/web1", "red/web1", "up0"]);
    top.press(Key::Char('r'));
    assert_eq!(names(&top), ["up0", "red/web1", "blue/web1", "blue/db1"]);
}

#[test]
fn the_selected_row_is_followed() {
    let (mut switch, mut source, mut top) = looked();
    top.press(Key::Char('2'));
    top.press(Key::Down);
    assert_eq!(names(&top)[top.table().selected], "blue/db1");
    for second in 11..13 {
        switch.port(2).rx.bytes += 1 << 40;
        switch.second(second * S);
        source.look(&mut top.sample, Duration::from_secs(second));
        top.arrange();
    }
    assert_eq!((names(&top)[0].as_str(), top.table().selected), ("red/web1", 2));
    // The first place is the first, whoever has it.
    top.press(Key::Home);
    top.press(Key::Char('r'));
    assert_eq!(top.table().selected, 0);
}

#[test]
fn rows_are_filtered_while_the_text_is_typed() {
    let (_switch, _source, mut top) = looked();
    top.press(Key::Char('2'));
    "/WEBq".chars().for_each(|letter| top.press(Key::Char(letter)));
    assert_eq!((names(&top).len(), top.is_over), (0, false));
    top.press(Key::Backspace);
    top.press(Key::Enter);
    assert_eq!((names(&top), top.prompt.is_none()), (vec!["blue/web1".into(), "red/web1".into()], true));
    top.press(Key::Escape);
    assert_eq!(names(&top).len(), 4);
    for (typed, seconds) in [("0.5", 0.5), ("61", 0.5), ("x", 0.5), ("", 0.5), ("60", 60.0)] {
        top.press(Key::Char('d'));
        typed.chars().for_each(|letter| top.press(Key::Char(letter)));
        top.press(Key::Enter);
        assert_eq!(top.interval.as_secs_f64(), seconds, "{typed}");
    }
    top.press(Key::Char('d'));
    top.press(Key::Char('x'));
    top.press(Key::Enter);
    assert_eq!(top.complaint.as_deref(), Some("`x` is no number of seconds from 0.1 to 60"));
    top.press(Key::F(10));
    assert!(top.is_over);
}

#[test]
fn names_and_addresses_of_flows_change_places() {
    let (_switch, _source, mut top) = looked();
    top.press(Key::Char('3'));
    assert!(drawn(&mut top, 132, 18).contains("web1:40001"));
    top.press(Key::Char('c'));
    let text = drawn(&mut top, 132, 18);
    assert!(text.contains("10.1.0.11:40001") && !text.contains("web1:40001"), "{text}");
}

#[test]
fn the_next_file_of_a_switch_goes_on_where_the_last_one_ended() {
    let (mut switch, mut source, mut top) = looked();
    let before = switch.file.take().unwrap();
    switch.start(1, 10 * S);
    before.superseded();
    source.look(&mut top.sample, Duration::from_secs(11));
    // Not a row is written there: what was before still holds.
    assert_eq!((&top.sample.status, top.sample.head.traffic.rx_packets), (&Status::Running, 1_000.0));
    switch.second(11 * S);
    source.look(&mut top.sample, Duration::from_secs(12));
    assert_eq!(top.sample.head.traffic.rx_packets, 1_000.0);
    assert_eq!(top.sample.flows.all().len(), 3);
}

#[test]
fn a_switch_that_ended_is_waited_for() {
    let (mut switch, mut source, mut top) = looked();
    let mut look = |top: &mut Top, second| source.look(&mut top.sample, Duration::from_secs(second));
    switch.file = None;
    std::fs::remove_file(switch.path()).unwrap();
    look(&mut top, 11);
    look(&mut top, 12);
    assert_eq!((&top.sample.status, top.sample.head.traffic.rx_packets), (&Status::Ended, 0.0));
    assert!(top.sample.ports.iter().all(|port| port.traffic.rx_bits == 0.0));
    assert!(drawn(&mut top, 80, 10).contains("the switch has ended: waiting for it to start again"));
    // Another run counts from the start: no rate comes of that, nor are there the flows of before.
    std::fs::write(switch.path(), "no statistics").unwrap();
    look(&mut top, 13);
    assert!(matches!(&top.sample.status, Status::Unreadable(_)), "{:?}", top.sample.status);
    switch.counters = Counters::new(SIZES);
    switch.work = Work::default();
    switch.start(2, 0);
    switch.second(S);
    look(&mut top, 14);
    assert_eq!((&top.sample.status, top.sample.head.traffic.rx_packets), (&Status::Running, 0.0));
    assert_eq!((top.sample.head.now, top.sample.flows.all().len()), (S, 0));
    switch.second(2 * S);
    look(&mut top, 15);
    assert_eq!(top.sample.head.traffic.rx_packets, 1_000.0);
}

#[test]
fn a_switch_whose_heart_stands_still_is_silent() {
    let (_switch, mut source, mut top) = looked();
    source.look(&mut top.sample, Duration::from_secs(12));
    assert_eq!(top.sample.status, Status::Running);
    source.look(&mut top.sample, Duration::from_secs(15));
    assert_eq!(top.sample.status, Status::Silent(5));
}

fn keys() -> impl Strategy<Value = Key> {
    use Key::*;
    let named = vec![
        Enter,
        Escape,
        Backspace,
        Tab,
        BackTab,
        Up,
        Down,
        Left,
        Right,
        PageUp,
        PageDown,
        Home,
        End,
        F(1),
        F(3),
        F(6),
        F(10),
        Ctrl('c'),
        Ctrl('u'),
    ];
    prop_oneof![
        prop::sample::select(named),
        prop::sample::select("qh?<>rI/ pdsc123456789jkgG.w".chars().collect::<Vec<_>>()).prop_map(Char),
        any::<char>().prop_map(Char),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_size_and_no_keys_are_too_much(
        steps in vec((keys(), prop_oneof![(0u16..20, 0u16..20), (0u16..300, 0u16..100)]), 1..40),
    ) {
        let (_switch, _source, mut top) = looked();
        for (key, (width, height)) in steps {
            top.press(key);
            drawn(&mut top, width, height);
            let table = top.table();
            prop_assert!(table.selected < table.order.len().max(1) && table.first <= table.selected);
        }
    }
}
