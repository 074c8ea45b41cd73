//! Through a whole host, in virtual time.

use core::time::Duration;
use std::collections::BTreeMap;

use super::LEAST_BURST;
use crate::counters::Shaped;
use crate::ids::{PortId, TenantId};
use crate::qos::{Charge, Class, Classes, Share};
use crate::testing::bed::Sent;
use crate::testing::frames::{from_fabric, udp4};
use crate::testing::lab::endpoint::{DB1, WEB1, WEB2};
use crate::testing::lab::{BLUE, LabQos, RED, host, port};
use crate::testing::{Bed, Lab};
use crate::verdict::Reason;

const MBIT: u64 = 1_000_000;
const MS: Duration = Duration::from_millis(1);
const STEP: Duration = Duration::from_micros(100);

fn bed(qos: LabQos) -> Bed {
    Bed::new(&Lab { qos, ..Lab::default() }, host::HV_A)
}

fn bound(rate: u64, ceil: u64, weight: u16) -> Share {
    Share { rate, ceil, burst: 3_000, weight, ..Share::default() }
}

/// A thousand bytes from web1 to `to`, told apart by a number.
fn numbered(to: u8, number: u32) -> Vec<u8> {
    let mut data = [0; 958];
    data[..4].copy_from_slice(&number.to_be_bytes());
    udp4(WEB1, to, &data)
}

fn number(frame: &[u8], outer: usize) -> u32 {
    u32::from_be_bytes(frame[outer + 42..outer + 46].try_into().unwrap())
}

fn numbers(sent: &Sent) -> Vec<u32> {
    sent.iter().map(|(_, frame)| number(frame, 0)).collect()
}

fn shaped(bed: &Bed, port: PortId) -> Shaped {
    bed.counters().ports[port.index()].to_guest
}

/// The VNI of each packet on the underlay, and how many there were.
fn by_vni(sent: &Sent, all: &mut BTreeMap<u32, u64>) {
    for (_, frame) in sent.iter().filter(|(to, _)| *to == port::UPLINK) {
        let vni = u32::from_be_bytes(frame[46..50].try_into().unwrap()) >> 8;
        *all.entry(vni).or_default() += 1;
    }
}

#[test]
fn a_bound_guest_is_sent_its_rate_in_order_and_the_rest_is_dropped() {
    let endpoints = vec![(port::BLUE_WEB2, bound(0, 10 * MBIT, 1), Classes::default())];
    let mut bed = bed(LabQos { endpoints, ..LabQos::default() });
    let mut got = Vec::new();
    for ms in 0..400 {
        let frames: Vec<_> = (0..4).map(|n| numbered(WEB2, ms * 4 + n)).collect();
        got.extend(numbers(&bed.receive(port::BLUE_WEB1, &frames)));
        got.extend(numbers(&bed.wait(MS)));
    }
    assert!(got.is_sorted());
    let bytes = got.len() as u64 * 1_024;
    let due = 10 * MBIT / 8 * 400 / 1_000 + 3_000;
    assert!(bytes.abs_diff(due) <= 1_024, "{bytes} of {due}");
    let counted = shaped(&bed, port::BLUE_WEB2);
    assert_eq!(counted.passed.packets, got.len() as u64);
    assert_eq!(counted.passed.bytes, bytes);
    let waiting = bed.held();
    assert_eq!(got.len() as u64 + counted.dropped + waiting, 1_600);
    // The queue is full, or CoDel is at work; in either case it is known by name.
    let drops = bed.drops(port::BLUE_WEB2, Reason::QueueFull) + bed.drops(port::BLUE_WEB2, Reason::Congested);
    assert_eq!(drops, counted.dropped);
    bed.stop();
    assert_eq!(bed.drops(port::BLUE_WEB2, Reason::Stopping), waiting);
}

#[test]
fn what_keeps_within_its_bound_does_not_wait() {
    let endpoints = vec![(port::BLUE_WEB2, bound(0, 10 * MBIT, 1), Classes::default())];
    let mut bed = bed(LabQos { endpoints, ..LabQos::default() });
    for n in 0..100 {
        assert_eq!(bed.receive(port::BLUE_WEB1, &[numbered(WEB2, n)]).len(), 1);
        bed.wait(MS);
    }
    assert_eq!((shaped(&bed, port::BLUE_WEB2).waited, bed.held()), (0, 0));
}

#[test]
fn a_tenant_is_bound_over_all_its_guests_also_from_the_fabric() {
    let tenants = vec![(TenantId(0), bound(0, 20 * MBIT, 1))];
    let mut bed = bed(LabQos { tenants, ..LabQos::default() });
    let mut bytes = BTreeMap::<PortId, u64>::new();
    for ms in 0..300 {
        let frames: Vec<_> = (0..4).map(|n| numbered(WEB2, ms * 4 + n)).collect();
        let from_db1 = |_| from_fabric(host::HV_B, BLUE, &udp4(DB1, WEB1, &[0; 958]));
        let outer: Vec<_> = (0..4).map(from_db1).collect();
        let sent = [bed.receive(port::BLUE_WEB1, &frames), bed.receive(port::UPLINK, &outer), bed.wait(MS)];
        for (to, frame) in sent.iter().flatten() {
            *bytes.entry(*to).or_default() += frame.len() as u64 + 24;
        }
    }
    let (web1, web2) = (bytes[&port::BLUE_WEB1], bytes[&port::BLUE_WEB2]);
    let due = 20 * MBIT / 8 * 300 / 1_000 + 3_000;
    assert!((web1 + web2).abs_diff(due) <= due / 100, "{web1} and {web2} of {due}");
    assert!(web1.abs_diff(web2) <= due / 50, "{web1} and {web2}");
}

#[test]
fn tenants_share_an_uplink_by_their_weights() {
    let tenants = vec![(TenantId(0), bound(0, 0, 2)), (TenantId(1), bound(0, 0, 1))];
    let mut bed = bed(LabQos { tenants, uplink: 100 * MBIT, ..LabQos::default() });
    let mut sent = BTreeMap::new();
    for n in 0..5_000 {
        for from in [port::BLUE_WEB1, port::RED_WEB1] {
            by_vni(&bed.receive(from, &[numbered(DB1, n), numbered(DB1, n)]), &mut sent);
        }
        by_vni(&bed.wait(STEP), &mut sent);
    }
    let (blue, red) = (sent[&BLUE], sent[&RED]);
    let due = (100 * MBIT / 8 * 500 / 1_000 + LEAST_BURST) / (1_000 + 50 + 24);
    assert!((blue + red).abs_diff(due) <= due / 100 + 2, "{blue} and {red} of {due}");
    assert!(blue.abs_diff(2 * red) <= due / 50, "{blue} and {red}");
    // One alone has all of it.
    let mut sent = BTreeMap::new();
    for n in 0..5_000 {
        by_vni(&bed.receive(port::RED_WEB1, &[numbered(DB1, n), numbered(DB1, n)]), &mut sent);
        by_vni(&bed.wait(STEP), &mut sent);
    }
    assert!(sent[&RED] > due * 9 / 10, "{sent:?} of {due}");
}

#[test]
fn what_is_assured_is_kept_before_weights() {
    let tenants = vec![(TenantId(0), bound(0, 0, 100)), (TenantId(1), bound(40 * MBIT, 0, 1))];
    let mut bed = bed(LabQos { tenants, uplink: 100 * MBIT, ..LabQos::default() });
    let mut sent = BTreeMap::new();
    for n in 0..5_000 {
        for from in [port::BLUE_WEB1, port::RED_WEB1] {
            by_vni(&bed.receive(from, &[numbered(DB1, n), numbered(DB1, n)]), &mut sent);
        }
        by_vni(&bed.wait(STEP), &mut sent);
    }
    let due = 40 * MBIT / 8 * 500 / 1_000 / (1_000 + 50 + 24);
    let red = sent[&RED];
    // Its part of the uplink's burst, and of what is left over by weight, come on top.
    let more = LEAST_BURST / 1_074 + due / 50;
    assert!((due * 99 / 100..due + more).contains(&red), "{red} of {due}");
}

#[test]
fn a_guest_that_takes_nothing_holds_up_nobody() {
    let mut bed = bed(LabQos::default());
    bed.sinks[0].room = vec![(port::BLUE_WEB2, 0)];
    for n in 0..50 {
        let frames: Vec<_> = (0..32).map(|m| numbered(if m % 2 == 0 { WEB2 } else { DB1 }, n)).collect();
        let sent = bed.receive(port::BLUE_WEB1, &frames);
        assert_eq!(sent.len(), 16);
        assert!(sent.iter().all(|(to, _)| *to == port::UPLINK));
    }
    let held = bed.held();
    assert!((32..=600).contains(&held), "{held}");
    assert_eq!(held + bed.drops(port::BLUE_WEB2, Reason::TxFull), 800);
    // It takes them again: those that waited come, in order.
    bed.sinks[0].room.clear();
    let mut sent = bed.wait(MS);
    for _ in 0..10 {
        sent.extend(bed.wait(MS));
    }
    assert_eq!((sent.len() as u64, bed.held()), (held, 0));
    assert!(numbers(&sent).is_sorted());
    assert_eq!(bed.receive(port::BLUE_WEB1, &[numbered(WEB2, 99)]).len(), 1);
}

#[test]
fn a_guest_that_is_not_there_costs_nothing_but_its_packets() {
    let mut bed = bed(LabQos::default());
    (bed.sinks[0].room, bed.sinks[0].unplugged) = (vec![(port::BLUE_WEB2, 0)], vec![port::BLUE_WEB2]);
    let frames: Vec<_> = (0..40).map(|n| numbered(WEB2, n)).collect();
    assert_eq!(bed.receive(port::BLUE_WEB1, &frames), []);
    assert_eq!((bed.drops(port::BLUE_WEB2, Reason::PortDown), bed.held()), (40, 0));
    // It hangs first, and vanishes then.
    bed.sinks[0].unplugged.clear();
    bed.receive(port::BLUE_WEB1, &frames);
    assert_eq!(bed.held(), 40);
    bed.sinks[0].unplugged.push(port::BLUE_WEB2);
    bed.wait(MS);
    assert_eq!((bed.drops(port::BLUE_WEB2, Reason::PortDown), bed.held()), (80, 0));
    bed.sinks[0].room.clear();
    assert_eq!(bed.receive(port::BLUE_WEB1, &frames).len(), 40);
}

#[test]
fn an_uplink_that_takes_nothing_shares_its_room_and_lets_the_switch_speak_first() {
    let mut bed = bed(LabQos::default());
    bed.sinks[0].room = vec![(port::UPLINK, 0)];
    for n in 0..4 {
        let frames: Vec<_> = (0..32).map(|_| numbered(DB1, n)).collect();
        assert_eq!(bed.receive(port::BLUE_WEB1, &frames), []);
    }
    assert_eq!(bed.receive(port::RED_WEB1, &[numbered(DB1, 7)]), []);
    bed.sinks[0].room = vec![(port::UPLINK, 64)];
    let sent = bed.wait(MS);
    let red = sent.iter().position(|(_, frame)| number(frame, 50) == 7);
    assert!(red.is_some_and(|place| place < 40), "red's one packet waits for a burst, not for blue's queue");
}

#[test]
fn strict_classes_leave_first() {
    let mut classes = Classes { strict: 1, of: [Class(1); 64], ..Classes::default() };
    classes.of[46] = Class(0);
    let endpoints = vec![(port::BLUE_WEB2, bound(0, 10 * MBIT, 1), classes)];
    let mut bed = bed(LabQos { endpoints, ..LabQos::default() });
    let frame = |n: u32| {
        let mut frame = numbered(WEB2, n);
        if n >= 100 {
            crate::testing::packets::set_tos(&mut frame, 46 << 2);
        }
        frame
    };
    bed.receive(port::BLUE_WEB1, &(0..32).map(frame).collect::<Vec<_>>());
    bed.receive(port::BLUE_WEB1, &(100..104).map(frame).collect::<Vec<_>>());
    let mut got = Vec::new();
    (0..10).for_each(|_| got.extend(numbers(&bed.wait(MS))));
    let last_voice = got.iter().rposition(|n| *n >= 100).unwrap();
    assert_eq!(got[..=last_voice], [100, 101, 102, 103], "{got:?}");
}

#[test]
fn a_change_of_bounds_loses_nothing_and_a_port_that_goes_drops_by_name() {
    let endpoints = vec![(port::BLUE_WEB2, bound(0, MBIT, 1), Classes::default())];
    let mut bed = bed(LabQos { endpoints, ..LabQos::default() });
    let frames: Vec<_> = (0..32).map(|n| numbered(WEB2, n)).collect();
    let mut got = numbers(&bed.receive(port::BLUE_WEB1, &frames));
    assert!(bed.held() > 20);
    let mut free = Lab::default().snapshot(host::HV_A);
    free.epoch.0 += 1;
    bed.adopt(free);
    (0..3).for_each(|_| got.extend(numbers(&bed.wait(MS))));
    assert_eq!((got, bed.held()), ((0..32).collect(), 0));
    bed.sinks[0].room = vec![(port::BLUE_WEB2, 0)];
    bed.receive(port::BLUE_WEB1, &frames);
    let mut without = bed.snapshot.clone();
    without.epoch.0 += 1;
    without.ports[port::BLUE_WEB2.index()].kind = crate::snapshot::PortKind::Vacant;
    bed.adopt(without);
    bed.wait(MS);
    assert_eq!((bed.held(), bed.drops(port::BLUE_WEB2, Reason::PortDown)), (0, 32));
}

#[test]
fn what_is_charged_can_be_set() {
    for (charge, cost) in [
        (Charge::default(), 1_000 + 24),
        (Charge { overhead: 0, overlay: true }, 1_000),
        (Charge { overhead: 100, overlay: false }, 1_100),
    ] {
        let mut qos = LabQos::default();
        qos.settings.charge = charge;
        qos.endpoints = vec![(port::BLUE_WEB2, bound(0, MBIT, 1), Classes::default())];
        let mut bed = bed(qos);
        bed.receive(port::BLUE_WEB1, &[numbered(WEB2, 0)]);
        assert_eq!(shaped(&bed, port::BLUE_WEB2).passed.bytes, cost);
    }
}
