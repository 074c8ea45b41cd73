use super::*;

fn wrong(text: &str) -> String {
    text.parse::<Filter>().unwrap_err().to_string()
}

#[test]
fn errors_say_where_and_what_would_be_right() {
    for (text, said) in [
        (
            "tcp hots 10.1.0.1",
            "column 5: `hots` stands behind a test that is over; did you mean `host`?\n  tcp hots 10.1.0.1\n      ^",
        ),
        ("tcp 80", "column 5: `80` stands behind a test that is over; write `and` or `or` before it"),
        ("hots 10.1.0.1", "column 1: `hots` is no test; did you mean `host`?"),
        ("10.1.0.1", "column 1: an address alone is no test; write `host 10.1.0.1`"),
        ("host web1", "column 6: `web1` is not an IP address"),
        ("host", "column 5: it ends here, before an IP address"),
        ("net 10.1.0.1/24", "column 5: 10.1.0.1/24 has bits beyond its prefix; the network is 10.1.0.0/24"),
        ("port 70000", "column 6: `70000` is not a port, 0 to 65535"),
        ("tcp and", "column 8: it ends here, before a test, as `host 10.1.0.11`"),
        ("(tcp or udp", "column 12: it ends here, before `)`, `and` or `or`"),
        ("tcp)", "column 4: there is no `(` to this `)`"),
        ("and tcp", "column 1: a test is missing before `and`"),
        ("drop spoofed", "column 6: `spoofed` is no reason to drop a packet; see `weft show drops --all`"),
        (
            "drop spoofed_mak",
            "column 6: `spoofed_mak` is no reason to drop a packet; did you mean `spoofed_mac`?",
        ),
        ("vni 0", "column 5: `0` is not a VNI, 1 to 16777215"),
        (
            "src prt 80",
            "column 5: `prt` stands here in place of `host`, `net`, `port` or an address; did you mean `port`?",
        ),
        (
            "ether dts 02:00:00:00:00:01",
            "column 7: `dts` stands here in place of `host`, `src`, `dst`, `broadcast` or `multicast`; did you mean `dst`?",
        ),
        ("portrange 90-80", "column 11: `90-80` is not two ports, as 8000-8099"),
    ] {
        let wanted = format!("the filter is wrong at {said}");
        assert!(wrong(text).starts_with(&wanted), "{text}:\n{}\nnot\n{wanted}", wrong(text));
    }
}

#[test]
fn nothing_that_is_written_is_too_much() {
    assert!(wrong(&"(".repeat(4000)).contains("more than 64"));
    assert!(wrong(&"!".repeat(4000)).contains("more than 64"));
    assert!(wrong(&format!("tcp{}", " or tcp".repeat(300))).contains("more than 256 tests"));
    assert!(wrong(&"tcp or ".repeat(1000)).contains("may have 4096"));
    // As much as there may be, asked.
    let filter: Filter = format!("arp{}", " or arp".repeat(255)).parse().unwrap();
    let at = Where { len: 60, vni: None, vxlan_port: 4789 };
    assert_eq!(filter.fates(&[0; 60], at), Fates::NONE);
}

#[test]
fn what_becomes_of_a_packet_is_asked_for_each_fate() {
    let mut frame = [0; 60];
    frame[12..14].copy_from_slice(&[8, 6]);
    let fates = |text: &str| {
        let at = Where { len: 60, vni: Vni::new(7), vxlan_port: 4789 };
        text.parse::<Filter>().unwrap().fates(&frame, at)
    };
    let (mac, ip) = (Some(Reason::SpoofedMac), Some(Reason::SpoofedIp));
    let have = |text: &str| [None, mac, ip].map(|fate| fates(text).have(fate));
    assert_eq!(have(""), [true, true, true]);
    assert_eq!(have("drop"), [false, true, true]);
    assert_eq!(have("not drop"), [true, false, false]);
    assert_eq!(have("drop spoofed_mac"), [false, true, false]);
    assert_eq!(have("arp and (drop spoofed_mac or drop spoofed_ip)"), [false, true, true]);
    assert_eq!(have("tcp and drop"), [false, false, false]);
    assert_eq!(have("arp or drop"), [true, true, true]);
    assert_eq!(have("arp and not drop spoofed_mac"), [true, false, true]);
    assert_eq!((fates("vni 7"), fates("vni 8")), (Fates::ALL, Fates::NONE));
}

mod tcpdump;
