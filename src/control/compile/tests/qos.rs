//! What is promised and bounded of traffic.

use weft_pipelines::qos::{Charge, Class, Classes, Credit, Dscp, Settings, Share};

use super::*;

/// The document with so much said of traffic: of blue and its `web1`, of red and its `web1`.
fn with_qos(blue: &str, web1: &str, red: &str, red_web1: &str) -> Fabric {
    let qos = |said: &str| if said.is_empty() { String::new() } else { format!(", qos: {{ {said} }}") };
    let tenant =
        |said: &str| if said.is_empty() { String::new() } else { format!("    qos: {{ {said} }}\n") };
    let document = DOCUMENT
        .replace("  - name: blue\n", &format!("  - name: blue\n{}", tenant(blue)))
        .replace("  - name: red\n", &format!("  - name: red\n{}", tenant(red)))
        .replace("groups: [web] }", &format!("groups: [web]{} }}", qos(web1)))
        .replace("ip: [10.1.0.1] }", &format!("ip: [10.1.0.1]{} }}", qos(red_web1)));
    config::parse("test", &document).unwrap()
}

fn compile_with(fabric: &Fabric) -> Compiled {
    compile(fabric, HostIndex(0), &MACS, 2, Epoch(1), None).unwrap()
}

#[test]
fn what_is_not_said_of_traffic_follows_from_what_is() {
    let Compiled { snapshot, .. } = compile_with(&with_qos(
        "ceil: 2Gbit, weight: 3",
        "rate: 500Mbit, pps: 100kpps",
        "rate: 1Gbit, ceil: 4Gbit, burst: 1MiB, pps: 1kpps",
        "rate: 64kbit",
    ));
    let web1 = Share {
        rate: 500_000_000,
        ceil: 500_000_000,
        burst: 312_500,
        pps: 100_000,
        packet_burst: 500,
        weight: 1,
    };
    assert_eq!(snapshot.guest(PortId(2)).unwrap().share, web1);
    // A tenant is promised what its endpoints here are; those elsewhere are others' affair.
    let blue =
        Share { rate: 500_000_000, ceil: 2_000_000_000, burst: 1_250_000, weight: 3, ..Share::default() };
    assert_eq!(snapshot.share(TenantId(0)).share, blue);
    let red = Share {
        rate: 1_000_000_000,
        ceil: 4_000_000_000,
        burst: 1 << 20,
        pps: 1_000,
        packet_burst: 64,
        weight: 1,
    };
    assert_eq!(snapshot.share(TenantId(1)).share, red);
    let slow = Share { rate: 64_000, ceil: 64_000, burst: 64 << 10, ..Share::default() };
    assert_eq!(snapshot.guest(PortId(3)).unwrap().share, slow);

    // Promised to its endpoints, and not bounded; promised no more than it may have; neither.
    let shares = |blue: &str, web1: &str| {
        let Compiled { snapshot, .. } = compile_with(&with_qos(blue, web1, "", ""));
        let Share { rate, ceil, burst, .. } = snapshot.share(TenantId(0)).share;
        (rate, ceil, burst)
    };
    assert_eq!(shares("", "rate: 1Gbit"), (1_000_000_000, 0, 625_000));
    assert_eq!(shares("ceil: 10Mbit", "rate: 1Gbit"), (10_000_000, 10_000_000, 64 << 10));
    assert_eq!(shares("weight: 7", "ceil: 1Gbit"), (0, 0, 0));
    assert_eq!(shares("rate: 1Tbit", ""), (1_000_000_000_000, 1_000_000_000_000, 500_000_000));
    let Compiled { snapshot, .. } = compiled();
    assert_eq!(snapshot.guest(PortId(2)).unwrap().share, Share::default());
    assert_eq!(snapshot.share(TenantId(1)).share, Share::default());
}

#[test]
fn classes_are_an_endpoint_s_own_or_its_tenant_s() {
    let blue =
        "classes: [{ name: voice, dscp: [ef], strict: true, mark: ef }, { name: rest, weight: 5, mark: 9 }]";
    let Compiled { snapshot, .. } =
        compile_with(&with_qos(blue, "rate: 1Gbit", "", "classes: [{ name: all }]"));
    let classes = &snapshot.guest(PortId(2)).unwrap().classes;
    let class = |dscp: u8| classes.of(dscp << 2 | 3).0;
    assert_eq!((class(46), class(0), class(63)), (0, 1, 1));
    assert_eq!((classes.strict, &classes.weights[..2], &classes.outer[..2]), (1, &[1, 5][..], &[46, 9][..]));
    assert_eq!(**snapshot.guest(PortId(3)).as_ref().map(|guest| &guest.classes).unwrap(), Classes::default());
    let own = "classes: [{ name: bulk, dscp: [8-15] }]";
    let Compiled { snapshot, .. } = compile_with(&with_qos(blue, own, "", ""));
    let classes = &snapshot.guest(PortId(2)).unwrap().classes;
    let bulk = (0..64).filter(|dscp| classes.of(dscp << 2) == Class(0)).collect::<Vec<u8>>();
    assert_eq!((bulk, classes.strict), ((8..16).collect(), 0));
}

#[test]
fn the_host_s_part_of_traffic_is_compiled() {
    let document = DOCUMENT
        .replace("port: 4790 }", "port: 4790, dscp: uniform }, qos: { overhead: 20, overlay: false }")
        .replace("mtu: 1600,", "mtu: 1600, rate: 9.5Gbit,");
    let fabric = config::parse("test", &document).unwrap();
    let Compiled { snapshot, .. } = compile_with(&fabric);
    let Settings { charge, dscp, backlog, queue } = snapshot.qos;
    assert_eq!((charge, dscp), (Charge { overhead: 20, overlay: false }, Dscp::Uniform));
    assert_eq!((backlog, queue), (crate::control::buffers::backlog(&fabric, HostIndex(0)), backlog / 8));
    assert_eq!([0, 1].map(|port| snapshot.uplink(PortId(port)).unwrap().rate), [9_500_000_000, 0]);
}

/// Tenant blue with a second endpoint here, which is the other worker's.
fn on_two_workers(blue: &str) -> Fabric {
    let mut fabric = with_qos(blue, "", "", "");
    let mut endpoint = fabric.tenants[0].endpoints[0].clone();
    endpoint.name = "web0".parse().unwrap();
    fabric.tenants[0].endpoints.insert(1, endpoint);
    fabric
}

#[test]
fn workers_take_a_tenant_s_share_in_common_and_its_history_stays() {
    let pools = |compiled: &Compiled| {
        let share = compiled.snapshot.share(TenantId(0));
        share.sent.clone().zip(share.received.clone())
    };
    // One worker has it all, and what is not bounded needs no pool.
    assert!(pools(&compile_with(&with_qos("rate: 1Gbit", "", "", ""))).is_none());
    assert!(pools(&compile_with(&on_two_workers("weight: 3"))).is_none());

    let before = on_two_workers("rate: 1Gbit, ceil: 2Gbit");
    let first = compile_with(&before);
    let (sent, received) = pools(&first).unwrap();
    assert!(!Arc::ptr_eq(&sent, &received) && sent.packets.is_none());
    // Another document that says the same of it leaves it as it is; a host more is none of its business.
    let mut same = on_two_workers("rate: 1Gbit, ceil: 2Gbit");
    same.tenants[1].qos = Some(checked::Qos { weight: 9, ..checked::Qos::default() });
    let second = next(&same, (&before, &first));
    let (sent_then, received_then) = pools(&second).unwrap();
    assert!(Arc::ptr_eq(&sent, &sent_then) && Arc::ptr_eq(&received, &received_then));
    assert_eq!(second.snapshot.share(TenantId(1)).share.weight, 9);

    // What workers had taken is not there again under another bound.
    let mut credit = Credit::leased(sent.ceil.clone().unwrap());
    let now = Tick(1_000_000_000_000);
    while credit.refill(now) {
        credit.take(credit.units());
    }
    let third = next(&on_two_workers("rate: 1Gbit, ceil: 2001Mbit"), (&before, &first));
    let (sent_third, received_third) = pools(&third).unwrap();
    assert!(!Arc::ptr_eq(&sent, &sent_third));
    assert!(!Credit::leased(sent_third.ceil.clone().unwrap()).refill(now));
    assert!(Credit::leased(received_third.ceil.clone().unwrap()).refill(now));
    // One worker's again, and gone.
    assert!(pools(&next(&with_qos("rate: 1Gbit", "", "", ""), (&before, &first))).is_none());
    let mut gone = on_two_workers("rate: 1Gbit");
    gone.tenants.remove(0);
    let gone = next(&gone, (&before, &first));
    assert_eq!((gone.snapshot.shares.len(), gone.snapshot.share(TenantId(0)).share), (2, Share::default()));
}

#[test]
fn classes_that_did_not_change_are_shared() {
    let own = "classes: [{ name: bulk, dscp: [8-15] }]";
    let before = with_qos("", own, "", "");
    let first = compile_with(&before);
    let of = |compiled: &Compiled| compiled.snapshot.guest(PortId(2)).unwrap().classes.clone();
    let same = next(&with_qos("", &format!("rate: 1Gbit, {own}"), "", ""), (&before, &first));
    assert!(Arc::ptr_eq(&of(&first), &of(&same)));
    let other = next(&with_qos("", &own.replace("15", "14"), "", ""), (&before, &first));
    assert_ne!(of(&first), of(&other));
}
