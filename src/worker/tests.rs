//! Two workers on two threads, with queues in memory instead of devices.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use weft_pipelines::counters::{RuleCounters, Traffic};
use weft_pipelines::flow::State;
use weft_pipelines::flow::{Secret, Sessions};
use weft_pipelines::{Burst, Counters, Epoch, Handed, Mac, Snapshot, TestFrame};

use super::*;
use crate::config;
use crate::control::compile::{self, Compiled, Previous};

/// A port's two queues, the far ends of which the test holds.
#[derive(Clone, Default)]
struct Wire {
    arriving: Arc<Mutex<VecDeque<TestFrame>>>,
    left: Arc<Mutex<Vec<TestFrame>>>,
    /// How many frames it still accepts.
    room: Arc<Mutex<usize>>,
}

impl Wire {
    /// How many frames have left.
    fn count(&self) -> usize {
        self.left.lock().unwrap().len()
    }
}

struct End(Wire);

impl Receive<TestFrame> for End {
    fn receive(&mut self, burst: &mut Burst<TestFrame>) {
        let mut arriving = self.0.arriving.lock().unwrap();
        let count = arriving.len().min(burst.remaining_capacity());
        burst.extend(arriving.drain(..count));
    }
}

impl Transmit<TestFrame> for End {
    fn transmit(&mut self, burst: &mut Burst<TestFrame>) {
        let mut room = self.0.room.lock().unwrap();
        let count = burst.len().min(*room);
        *room -= count;
        self.0.left.lock().unwrap().extend(burst.drain(..count));
    }

    fn is_connected(&self) -> bool {
        true
    }
}

struct Heap;

impl Pool<TestFrame> for Heap {
    fn allocate(&self) -> Option<TestFrame> {
        Some(TestFrame::new(&[]))
    }

    fn recycle(&self, burst: &mut Burst<TestFrame>) {
        burst.clear();
    }
}

/// A host with `workers` workers at work: port 0 is the uplink, 1 to 3 are guests of one segment.
struct Host {
    wires: Vec<Wire>,
    mailboxes: Vec<Arc<Mailbox<TestFrame>>>,
    threads: Vec<thread::JoinHandle<Standing>>,
    compiled: Compiled,
    snapshot: Arc<Snapshot>,
}

impl Host {
    fn start(workers: usize) -> Self {
        let compiled = compiled(workers);
        let snapshot = compiled.snapshot.clone();
        let wires: Vec<Wire> = snapshot.ports.iter().map(|_| Wire::default()).collect();
        wires.iter().for_each(|wire| *wire.room.lock().unwrap() = usize::MAX);
        let (mut mailboxes, mut threads) = (vec![], vec![]);
        let clock = Clock::new(|| 0, 1_000_000_000);
        for (id, (outgoing, incoming)) in rings(workers).into_iter().enumerate() {
            let id = WorkerId(id as u16);
            let owned = |port: usize| snapshot.ports[port].worker == id;
            let inputs = (0..wires.len()).filter(|port| owned(*port));
            let inputs = inputs
                .map(|port| Input { port: PortId(port as u16), queue: Box::new(End(wires[port].clone())) });
            let queues = (0..wires.len())
                .map(|port| owned(port).then(|| Box::new(End(wires[port].clone())) as Box<dyn Transmit<_>>))
                .collect();
            let mailbox = Arc::new(Mailbox::default());
            let worker = Worker {
                id,
                snapshot: snapshot.clone(),
                inputs: inputs.collect(),
                incoming,
                outputs: Outputs::new(snapshot.clone(), queues, outgoing, Box::new(Heap)),
                mailbox: mailbox.clone(),
                clock,
                poll: Poll::Adaptive,
            };
            mailboxes.push(mailbox);
            let sessions = Sessions::new(&worker.snapshot.sessions, &Secret::from_seed(1));
            threads.push(thread::spawn(move || worker.run(sessions)));
        }
        Self { wires, mailboxes, threads, compiled, snapshot }
    }

    /// Puts a frame to `to`, numbered, on guest `from`'s wire.
    fn send(&self, from: usize, to: usize, number: u32) {
        let frame = TestFrame::new(&frame(from, to, number));
        self.wires[from].arriving.lock().unwrap().push_back(frame);
    }

    /// Goes over to another configuration, as the control thread does. Returns what the workers gave back, in all.
    fn change(&mut self, next: Compiled) -> Vec<Retired<TestFrame>> {
        let (first, sizes) = (self.wires.len(), next.snapshot.sizes());
        self.wires.resize_with(sizes.ports, Wire::default);
        self.wires[first..].iter().for_each(|wire| *wire.room.lock().unwrap() = usize::MAX);
        for (id, mailbox) in self.mailboxes.iter().enumerate() {
            let new = (first..sizes.ports).filter(|port| next.snapshot.ports[*port].worker.index() == id);
            let ports = new.map(|port| NewPort {
                port: PortId(port as u16),
                inputs: vec![Box::new(End(self.wires[port].clone()))],
                output: Box::new(End(self.wires[port].clone())),
            });
            post(mailbox, Mail::Prepare(Box::new(Preparation { sizes, ports: ports.collect() })));
            let left = until("a worker to be ready", || match mailbox.reply() {
                Some(Reply::Prepared(preparation)) => Some(preparation.ports.len()),
                _ => None,
            });
            assert_eq!(left, 0);
        }
        let mut retired = Vec::new();
        for mailbox in &self.mailboxes {
            post(mailbox, Mail::Publish(next.snapshot.clone()));
            let (before, queues) = until("the old configuration", || match mailbox.reply() {
                Some(Reply::Retired(before, queues)) => Some((before, queues)),
                _ => None,
            });
            assert_eq!(before.epoch, self.snapshot.epoch);
            retired.extend(queues);
        }
        (self.snapshot, self.compiled) = (next.snapshot.clone(), next);
        retired
    }

    /// How every worker stands now.
    fn standings(&self) -> Vec<Standing> {
        let ask = |mailbox: &Arc<Mailbox<TestFrame>>| {
            post(mailbox, Mail::Report(Box::new(Standing::new(&self.snapshot))));
            until("a standing", || match mailbox.reply() {
                Some(Reply::Standing(standing)) => Some(*standing),
                _ => None,
            })
        };
        self.mailboxes.iter().map(ask).collect()
    }

    /// Waits until so many packets were received and all are out of the rings, then ends the workers.
    fn end(self, packets: u64) -> Vec<Standing> {
        until("all packets received", || {
            let standings = self.standings();
            let sum = |count: fn(&Work) -> u64| standings.iter().map(|s| count(&s.work)).sum::<u64>();
            (sum(|work| work.packets) == packets && sum(|w| w.handed_over) == sum(|w| w.received_over))
                .then_some(())
        });
        self.mailboxes.iter().for_each(|mailbox| post(mailbox, Mail::Finish));
        self.mailboxes.iter().for_each(|mailbox| post(mailbox, Mail::End));
        let standings: Vec<_> = self.threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        for standing in &standings {
            assert_balanced(standing);
        }
        standings
    }
}

fn post(mailbox: &Mailbox<TestFrame>, mail: Mail<TestFrame>) {
    assert!(mailbox.send(mail).is_ok(), "the letters are taken");
}

/// What a worker took in and made is what it sent, dropped, consumed or handed over.
fn assert_balanced(standing: &Standing) {
    let Standing { counters, work, neighbors, .. } = standing;
    let sum = |count: fn(&weft_pipelines::counters::PortCounters) -> u64| {
        counters.ports.iter().map(count).sum::<u64>()
    };
    let held: u64 = neighbors.iter().map(|neighbor| neighbor.held).sum();
    assert_eq!(
        sum(|p| p.rx.packets) + counters.replicated + counters.originated + work.received_over,
        sum(|p| p.tx.packets) + sum(|p| p.drops.total()) + counters.consumed + held + work.handed_over,
    );
}

fn until<T>(what: &str, mut happened: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(value) = happened() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        thread::yield_now();
    }
}

const DOCUMENT: &str = r#"
fabric: { name: test }
hosts:
  - { name: here, vtep: 198.51.100.1, uplinks: [{ name: up0, device: net_null0, address: [198.51.100.1/24], neighbors: [{ ip: 198.51.100.2, mac: "02:00:00:00:09:02" }] }] }
  - { name: there, vtep: 198.51.100.2 }
tenants:
  - name: blue
    segments: [{ name: front, vni: 1001, subnet: [10.1.0.0/24] }]
    endpoints:
      - { name: g1, host: here, attach: { vhost-user: g1 }, segment: front, mac: "02:00:00:00:00:01", ip: [10.1.0.1] }
      - { name: g2, host: here, attach: { vhost-user: g2 }, segment: front, mac: "02:00:00:00:00:02", ip: [10.1.0.2] }
      - { name: g3, host: here, attach: { vhost-user: g3 }, segment: front, mac: "02:00:00:00:00:03", ip: [10.1.0.3] }
      - { name: far, host: there, attach: { vhost-user: far }, segment: front, mac: "02:00:00:00:00:04", ip: [10.1.0.4] }
"#;

fn compiled(workers: usize) -> Compiled {
    compile_after(DOCUMENT, workers, None)
}

/// The same without g2, and with g5, a guest like the others, and another host.
fn changed(workers: usize, before: &Compiled) -> Compiled {
    let without = DOCUMENT.lines().filter(|line| !line.contains("name: g2,"));
    let document = without
        .collect::<Vec<_>>()
        .join("\n")
        .replace("  - { name: there", "  - { name: beyond, vtep: 198.51.100.3 }\n  - { name: there")
        + r#"
      - { name: g5, host: here, attach: { vhost-user: g5 }, segment: front, mac: "02:00:00:00:00:05", ip: [10.1.0.5] }
"#;
    compile_after(&document, workers, Some(before))
}

fn compile_after(document: &str, workers: usize, before: Option<&Compiled>) -> Compiled {
    let fabric = config::parse("test", document).unwrap();
    let first = config::parse("test", DOCUMENT).unwrap();
    let host = fabric.host("here").unwrap();
    let previous = before.map(|compiled| Previous { fabric: &first, compiled });
    let epoch = before.map_or(1, |before| before.snapshot.epoch.0 + 1);
    compile::compile(&fabric, host, &[Mac([2, 0, 0, 0, 9, 1])], workers, Epoch(epoch), previous).unwrap()
}

/// A UDP datagram from guest `from` to guest `to` (4 is on the other host, 255 is everyone) with a number in it.
fn frame(from: usize, to: usize, number: u32) -> Vec<u8> {
    let mac = |guest: usize| if guest == 255 { [0xff; 6] } else { [2, 0, 0, 0, 0, guest as u8] };
    let mut frame = [mac(to), mac(from)].concat();
    frame.extend([0x08, 0x00, 0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0]);
    frame.extend([10, 1, 0, from as u8, 10, 1, 0, to as u8, 0x30, 0x39, 0, 9, 0, 12, 0, 0]);
    frame.extend(number.to_be_bytes());
    frame
}

/// The numbers in the frames that left by a port, in order.
fn numbers(wire: &Wire) -> Vec<u32> {
    let left = wire.left.lock().unwrap();
    left.iter().map(|frame| u32::from_be_bytes(*frame.data().last_chunk().unwrap())).collect()
}

#[test]
fn a_port_of_another_worker_is_reached_in_order() {
    let host = Host::start(2);
    // Ports alternate: the uplink and g2 are the first worker's, g1 and g3 the second's.
    assert_ne!(host.snapshot.ports[1].worker, host.snapshot.ports[2].worker);
    let count = 20_000;
    for number in 0..count {
        // No more on their way than a ring holds: what overflows one is dropped, which another test is about.
        if number % 256 == 0 {
            until("what was sent to arrive", || (host.wires[2].count() == number as usize).then_some(()));
        }
        host.send(1, 2, number);
    }
    let wire = host.wires[2].clone();
    let standings = host.end(u64::from(count));
    assert_eq!(numbers(&wire), (0..count).collect::<Vec<_>>());
    let handed: u64 = standings.iter().map(|standing| standing.work.handed_over).sum();
    assert_eq!(handed, u64::from(count));
}

#[test]
fn the_fabric_is_reached_through_the_uplink_s_worker() {
    let host = Host::start(2);
    assert_ne!(host.snapshot.ports[1].worker, host.snapshot.ports[0].worker);
    (0..500).for_each(|number| host.send(1, 4, number));
    let wire = host.wires[0].clone();
    let standings = host.end(500);
    assert_eq!(numbers(&wire), (0..500).collect::<Vec<_>>());
    let left = wire.left.lock().unwrap();
    assert!(
        left.iter().all(|frame| frame.data().len() == 46 + 50 && frame.data()[..6] == [2, 0, 0, 0, 9, 2])
    );
    let sent: u64 = standings.iter().map(|standing| standing.counters.tunnels[0].tx.packets).sum();
    assert_eq!(sent, 500);
}

#[test]
fn everyone_gets_a_copy_whichever_worker_owns_the_port() {
    let host = Host::start(2);
    (0..100).for_each(|number| host.send(1, 255, number));
    let wires = host.wires.clone();
    let standings = host.end(100);
    for port in [0, 2, 3] {
        assert_eq!(numbers(&wires[port]), (0..100).collect::<Vec<_>>(), "port {port}");
    }
    assert_eq!(standings.iter().map(|standing| standing.counters.replicated).sum::<u64>(), 200);
}

#[test]
fn what_a_port_does_not_accept_is_dropped_by_name() {
    let host = Host::start(1);
    *host.wires[2].room.lock().unwrap() = 70;
    (0..100).for_each(|number| host.send(1, 2, number));
    let standings = host.end(100);
    let port = &standings[0].counters.ports[2];
    assert_eq!(port.tx, Traffic { packets: 70, bytes: 70 * 46 });
    assert_eq!(port.drops.count(Reason::TxFull), 30);
    assert_eq!(standings[0].counters.tenants[0].drops.count(Reason::TxFull), 30);
}

#[test]
fn what_an_uplink_does_not_accept_is_its_tenant_s_loss() {
    let host = Host::start(2);
    *host.wires[0].room.lock().unwrap() = 10;
    (0..50).for_each(|number| host.send(1, 4, number));
    let standings = host.end(50);
    let lost = |count: fn(&Counters) -> u64| standings.iter().map(|s| count(&s.counters)).sum::<u64>();
    assert_eq!(lost(|counters| counters.ports[0].drops.count(Reason::TxFull)), 40);
    assert_eq!(lost(|counters| counters.tenants[0].drops.count(Reason::TxFull)), 40);
}

#[test]
fn a_ring_that_is_full_drops_by_name() {
    // The second worker never runs: nobody empties the ring.
    let Compiled { snapshot, .. } = compiled(2);
    let wire = Wire::default();
    let (outgoing, _incoming) = rings::<TestFrame>(2).remove(1);
    let queues = vec![None, Some(Box::new(End(wire)) as Box<dyn Transmit<_>>), None, None];
    let mut outputs = Outputs::new(snapshot, queues, outgoing, Box::new(Heap));
    let handed = || weft_pipelines::Handed::Deliver(PortId(2), TestFrame::new(&frame(1, 2, 0)));
    for _ in 0..1_500 {
        weft_pipelines::Sink::hand_over(&mut outputs, WorkerId(0), handed());
    }
    outputs.flush();
    assert_eq!(outputs.handed_over, 1_024);
    assert_eq!(outputs.counters.ports[2].drops.count(Reason::HandOverFull), 1_500 - 1_024);
    assert_eq!(outputs.counters.tenants[0].drops.count(Reason::HandOverFull), 1_500 - 1_024);
}

#[test]
fn a_new_configuration_is_taken_up_and_the_old_one_comes_back() {
    let mut host = Host::start(2);
    let next = compile_after(DOCUMENT, 2, Some(&host.compiled));
    assert!(host.change(next).is_empty());
    (0..100).for_each(|number| host.send(1, 2, number));
    assert!(host.end(100).iter().all(|standing| standing.work.epoch == 2));
}

#[test]
fn ports_come_and_go_while_the_others_lose_nothing() {
    for workers in [1, 2, 3] {
        let mut host = Host::start(workers);
        let next = changed(workers, &host.compiled);
        assert_eq!(host.snapshot.ports.len() + 1, next.snapshot.ports.len());
        (0..300).for_each(|number| host.send(1, 3, number));
        let retired = host.change(next);
        // g2's two queues: its guest's wire is the test's alone now.
        assert_eq!(retired.len(), 2);
        drop(retired);
        assert_eq!(Arc::strong_count(&host.wires[2].left), 1);
        (300..600).for_each(|number| host.send(1, 3, number));
        (0..50).for_each(|number| host.send(1, 5, number));
        // g5 is at port 4.
        let from_g5 = (0..50).map(|number| TestFrame::new(&frame(5, 1, number)));
        host.wires[4].arriving.lock().unwrap().extend(from_g5);
        // Nobody is there any more: to everyone, that is to the uplink, g3 and the new one.
        host.send(1, 2, 1_000);
        until("the new guest's packets", || (host.wires[1].count() == 50).then_some(()));
        let wires = host.wires.clone();
        let standings = host.end(300 + 300 + 50 + 50 + 1);
        assert_eq!(numbers(&wires[3])[..600], (0..600).collect::<Vec<_>>());
        assert_eq!(numbers(&wires[1]), (0..50).collect::<Vec<_>>());
        assert_eq!(numbers(&wires[4]).len(), 51);
        let drops = |s: &Standing| s.counters.ports.iter().map(|port| port.drops.total()).sum::<u64>();
        assert_eq!(standings.iter().map(drops).sum::<u64>(), 0);
        assert!(standings.iter().all(|standing| standing.work.epoch == 2));
    }
}

#[test]
fn what_is_handed_over_between_two_configurations_is_dropped_by_name() {
    // The test is the second worker, ahead of the first, or behind it.
    let before = compiled(2);
    let next = changed(2, &before);
    let mut ends = rings::<TestFrame>(2);
    let (mut outgoing, _theirs) = ends.remove(1);
    let (own, incoming) = ends.remove(0);
    let mut ring = outgoing[0].take().unwrap();
    let wires: Vec<Wire> = before.snapshot.ports.iter().map(|_| Wire::default()).collect();
    wires.iter().for_each(|wire| *wire.room.lock().unwrap() = usize::MAX);
    let queue = |port: usize| Some(Box::new(End(wires[port].clone())) as Box<dyn Transmit<_>>);
    let mailbox = Arc::new(Mailbox::default());
    let worker = Worker {
        id: WorkerId(0),
        snapshot: before.snapshot.clone(),
        inputs: Vec::new(),
        incoming,
        outputs: Outputs::new(
            before.snapshot.clone(),
            vec![queue(0), None, queue(2), None],
            own,
            Box::new(Heap),
        ),
        mailbox: mailbox.clone(),
        clock: Clock::new(|| 0, 1_000_000_000),
        poll: Poll::Busy,
    };
    let sessions = Sessions::new(&worker.snapshot.sessions, &Secret::from_seed(1));
    let thread = thread::spawn(move || worker.run(sessions));
    let sizes = next.snapshot.sizes();
    let (new_port, new_tunnel) = (PortId(4), weft_pipelines::TunnelId(1));
    assert_eq!((sizes.ports, sizes.tunnels), (5, 2));
    let deliver = |port| Handed::Deliver(port, TestFrame::new(&frame(1, 2, 0)));
    let taken = |count: u64| {
        until("what was handed over", || {
            post(&mailbox, Mail::Report(Box::new(Standing::new(&next.snapshot))));
            let standing = until("a standing", || match mailbox.reply() {
                Some(Reply::Standing(standing)) => Some(standing),
                _ => None,
            });
            (standing.work.received_over == count).then_some(())
        });
    };

    // Ahead: things that the first does not know yet.
    post(&mailbox, Mail::Prepare(Box::new(Preparation { sizes, ports: Vec::new() })));
    assert!(ring.push(deliver(new_port)).is_ok());
    assert!(ring.push(Handed::IntoTunnel(new_tunnel, TestFrame::new(&frame(1, 4, 0)))).is_ok());
    assert!(ring.push(deliver(PortId(2))).is_ok());
    until("the letter", || mailbox.reply());
    taken(3);
    // Behind: a port that the first has closed. What comes too late for a tunnel is still sent.
    post(&mailbox, Mail::Publish(next.snapshot.clone()));
    until("the old configuration", || mailbox.reply());
    assert!(ring.push(deliver(PortId(2))).is_ok());
    taken(4);
    post(&mailbox, Mail::End);
    let standing = thread.join().unwrap();
    assert_balanced(&standing);
    let drops = |port: usize, reason| standing.counters.ports[port].drops.count(reason);
    assert_eq!((drops(4, Reason::PortDown), drops(2, Reason::PortDown)), (1, 1));
    assert_eq!(drops(0, Reason::NoUplink), 1);
    assert_eq!(numbers(&wires[2]), [0]);
}

#[test]
fn what_rules_decided_is_told_by_pages() {
    let host = Host::start(1);
    // One tenant without rules: the counter of its default.
    for (from, expected) in [(0, 1), (1, 0), (7, 0)] {
        let untouched = RuleCounters { hits: 77, ..RuleCounters::default() };
        let page = RulePage { asked: 0, from, counters: vec![untouched; 3] };
        post(&host.mailboxes[0], Mail::Rules(Box::new(page)));
        let page = until("the page", || match host.mailboxes[0].reply() {
            Some(Reply::Rules(page)) => Some(page),
            _ => None,
        });
        assert_eq!(page.counters.iter().filter(|row| row.hits == 0).count(), expected);
    }
    host.end(0);
}

#[test]
fn sessions_are_told_by_pages_with_the_rules_of_this_moment() {
    let rules = |names: &str| {
        DOCUMENT.replace(
            "    endpoints:",
            &format!("    policy: {{ default: deny, rules: [{names}] }}\n    endpoints:"),
        )
    };
    let ping = "{ name: other, from: any, to: any, allow: [tcp] }";
    let udp = "{ name: udp, from: any, to: any, allow: [udp/9] }";
    let mut host = Host::start(1);
    let first = compile_after(&rules(udp), 1, Some(&host.compiled));
    let slot = first.policies[0].rules.rules[0].slot;
    host.change(first);
    (0..5).for_each(|number| host.send(1, 2, number));
    host.send(2, 3, 0);
    until("all to arrive", || (host.wires[2].count() == 5 && host.wires[3].count() == 1).then_some(()));
    let told = |host: &Host| {
        let (mut cursor, mut records) = (SessionCursor::START, Vec::new());
        while cursor != SessionCursor::End {
            // A page of one: all of them are met all the same.
            let page = SessionPage { asked: 3, cursor, records: Vec::with_capacity(1) };
            post(&host.mailboxes[0], Mail::Sessions(Box::new(page)));
            let page = until("the page", || match host.mailboxes[0].reply() {
                Some(Reply::Sessions(page)) => Some(page),
                _ => None,
            });
            assert_eq!(page.asked, 3);
            cursor = page.cursor;
            records.extend(page.records);
        }
        records.sort_by_key(|record: &SessionRecord| record.from);
        records
    };
    let records = told(&host);
    let ends: Vec<_> = records.iter().map(|r| (r.from.0.to_string(), r.from.1, r.to.to_string())).collect();
    assert_eq!(
        ends,
        [("10.1.0.1".into(), 12_345, "10.1.0.2".into()), ("10.1.0.2".into(), 12_345, "10.1.0.3".into())]
    );
    let one = &records[0];
    assert_eq!((one.vni.value(), one.protocol, one.service, one.port), (1001, 17, 9, PortId(1)));
    assert_eq!((one.state, one.traffic[0].packets, one.traffic[1].packets), (State::UdpNew, 5, 0));
    assert_eq!((one.rule, one.would_rule, one.would_deny), (slot, slot, false));

    // The same rule stands elsewhere: the counter is the same, also before the session was decided again.
    let document = rules(&format!("{ping}, {udp}"));
    let fabric = config::parse("test", &document).unwrap();
    let before = config::parse("test", &rules(udp)).unwrap();
    let previous = Some(Previous { fabric: &before, compiled: &host.compiled });
    let mac = [Mac([2, 0, 0, 0, 9, 1])];
    let index = fabric.host("here").unwrap();
    let second = compile::compile(&fabric, index, &mac, 1, Epoch(3), previous).unwrap();
    assert_eq!(second.policies[0].rules.rules[1].slot, slot);
    host.change(second);
    assert!(told(&host).iter().all(|record| record.rule == slot));
    host.end(6);
}
