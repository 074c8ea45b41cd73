//! Another configuration for workers at work.

use weft_pipelines::counters::RuleCounters;
use weft_pipelines::flow::State;
use weft_pipelines::qos::Tag;

use super::*;

impl Host {
    /// Goes over to another configuration, as the control thread does. Returns what the workers gave back, in all.
    fn change(&mut self, document: &str) -> Vec<Retired<TestFrame>> {
        let next = compile_after(document, self.mailboxes.len(), Some((&self.document, &self.compiled)));
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
            post(
                mailbox,
                Mail::Prepare(Box::new(Preparation { sizes, ports: ports.collect(), stats: None })),
            );
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
        (self.document, self.snapshot, self.compiled) = (document.to_owned(), next.snapshot.clone(), next);
        retired
    }

    /// The first worker's sessions, by who opened them.
    fn sessions(&self) -> Vec<SessionRecord> {
        let mailbox = &self.mailboxes[0];
        let (mut cursor, mut records) = (SessionCursor::START, Vec::new());
        while cursor != SessionCursor::End {
            // A page of one: all of them are met all the same.
            let page = SessionPage { asked: 3, cursor, records: Vec::with_capacity(1) };
            post(mailbox, Mail::Sessions(Box::new(page)));
            let page = until("the page", || match mailbox.reply() {
                Some(Reply::Sessions(page)) => Some(page),
                _ => None,
            });
            assert_eq!(page.asked, 3);
            cursor = page.cursor;
            records.extend(page.records);
        }
        records.sort_by_key(|record| record.from);
        records
    }
}

/// The document without g2, and with g5, a guest like the others, and another host.
fn changed() -> String {
    let without = DOCUMENT.lines().filter(|line| !line.contains("name: g2,"));
    let hosts = "  - { name: beyond, vtep: 198.51.100.3 }\n  - { name: there";
    let document = without.collect::<Vec<_>>().join("\n").replace("  - { name: there", hosts);
    let g5 = r#"      - { name: g5, host: here, attach: { vhost-user: g5 }, segment: front, mac: "02:00:00:00:00:05", ip: [10.1.0.5] }"#;
    format!("{document}\n{g5}\n")
}

#[test]
fn a_new_configuration_is_taken_up_and_the_old_one_comes_back() {
    let mut host = Host::start(2);
    assert!(host.change(DOCUMENT).is_empty());
    (0..100).for_each(|number| host.send(1, 2, number));
    assert!(host.end(100).iter().all(|standing| standing.work.epoch == 2));
}

#[test]
fn ports_come_and_go_while_the_others_lose_nothing() {
    for workers in [1, 2, 3] {
        let mut host = Host::start(workers);
        (0..300).for_each(|number| host.send(1, 3, number));
        let retired = host.change(&changed());
        assert_eq!(host.snapshot.ports.len(), 5);
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
    let next = compile_after(&changed(), 2, Some((DOCUMENT, &before)));
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
        used: Arc::default(),
    };
    let sessions = Sessions::new(&worker.snapshot.sessions, &Secret::from_seed(1));
    let thread = thread::spawn(move || worker.run(sessions));
    let sizes = next.snapshot.sizes();
    let (new_port, new_tunnel) = (PortId(4), weft_pipelines::TunnelId(1));
    assert_eq!((sizes.ports, sizes.tunnels), (5, 2));
    let deliver = |port| Handed::Deliver(port, Tag::default(), TestFrame::new(&frame(1, 2, 0)));
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
    post(&mailbox, Mail::Prepare(Box::new(Preparation { sizes, ports: Vec::new(), stats: None })));
    assert!(ring.push(deliver(new_port)).is_ok());
    assert!(
        ring.push(Handed::IntoTunnel(new_tunnel, Tag::default(), TestFrame::new(&frame(1, 4, 0)))).is_ok()
    );
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
    host.change(&rules(udp));
    let slot = host.compiled.policies[0].rules.rules[0].slot;
    (0..5).for_each(|number| host.send(1, 2, number));
    host.send(2, 3, 0);
    until("all to arrive", || (host.wires[2].count() == 5 && host.wires[3].count() == 1).then_some(()));
    let records = host.sessions();
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
    host.change(&rules(&format!("{ping}, {udp}")));
    assert_eq!(host.compiled.policies[0].rules.rules[1].slot, slot);
    assert!(host.sessions().iter().all(|record| record.rule == slot));
    host.end(6);
}

#[test]
fn a_hundred_changes_under_load_lose_nothing() {
    let mut host = Host::start(2);
    let rule = "    policy: { default: deny, rules: [{ name: udp, from: any, to: any, allow: [udp/9] }] }\n    endpoints:";
    let documents = [changed(), DOCUMENT.replace("    endpoints:", rule), DOCUMENT.to_owned()];
    let mut sent = 0;
    for document in documents.iter().cycle().take(100) {
        // From one worker's guest to the other's, and to the other host, by that worker's uplink; less than a ring
        // holds are on their way.
        until("what was sent to arrive", || {
            (host.wires[3].count() == sent as usize && host.wires[0].count() == sent as usize).then_some(())
        });
        for _ in 0..100 {
            host.send(1, 3, sent);
            host.send(1, 4, sent);
            sent += 1;
        }
        host.change(document);
    }
    // Each time that they came back, g2 and g5 were other ports: 33 times the one, 34 the other.
    assert_eq!(host.snapshot.ports.len(), 4 + 33 + 34);
    let wires = host.wires.clone();
    let standings = host.end(u64::from(2 * sent));
    assert_eq!(numbers(&wires[3]), (0..sent).collect::<Vec<_>>());
    assert_eq!(numbers(&wires[0]), (0..sent).collect::<Vec<_>>());
    assert!(standings.iter().all(|standing| standing.work.epoch == 101));
}

#[test]
fn the_sessions_of_an_endpoint_end_with_it() {
    let rule = "    policy: { default: deny, rules: [{ name: udp, from: any, to: any, allow: [udp/9] }] }\n    endpoints:";
    let document = DOCUMENT.replace("    endpoints:", rule);
    let mut host = Host::start(1);
    host.change(&document);
    host.send(2, 3, 0);
    host.send(1, 3, 1);
    until("both to arrive", || (host.wires[3].count() == 2).then_some(()));
    let ports = |host: &Host| host.sessions().iter().map(|record| record.port).collect::<Vec<_>>();
    assert_eq!(ports(&host), [PortId(1), PortId(2)]);
    let without = document.lines().filter(|line| !line.contains("name: g2,"));
    host.change(&without.collect::<Vec<_>>().join("\n"));
    until("its session to end", || (ports(&host) == [PortId(1)]).then_some(()));
    host.end(2);
}
