//! What another decoder makes of the packets that leave.

use std::path::Path;
use std::process::Command;

use weft::replay::Options;

use crate::lab::*;

/// The fields of each packet in `pcap`, as tshark decodes them.
pub fn decoded(pcap: &Path, fields: &[&str]) -> Vec<Vec<String>> {
    let mut tshark = Command::new("tshark");
    tshark.arg("-r").arg(pcap).args(["-o", "ip.check_checksum:TRUE", "-n", "-T", "fields"]);
    for field in fields {
        tshark.args(["-e", field]);
    }
    let text = output(tshark);
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

fn output(mut tshark: Command) -> String {
    let output = tshark.output().unwrap_or_else(|error| {
        panic!("tshark does not start ({error}): this test needs the Debian package tshark")
    });
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_tshark_writes_is_read() {
    let sent = paced([udp(WEB1, WEB2, b"one"), udp(WEB1, WEB2, b"two")]);
    let temp = tempfile::tempdir().unwrap();
    let (from, to) = (temp.path().join("from.pcap"), temp.path().join("to"));
    std::fs::write(&from, pcap(&sent)).unwrap();
    for format in ["pcapng", "nsecpcap", "pcap"] {
        let mut tshark = Command::new("tshark");
        tshark.arg("-r").arg(&from).args(["-F", format, "-w"]).arg(&to);
        output(tshark);
        let recording = input("blue/web1", std::fs::read(&to).unwrap());
        let replayed = replayed("hv-a", &[recording], &Options::default());
        assert_eq!(replayed.packets("blue/web2"), sent, "{format}");
    }
}

#[test]
fn tshark_reads_the_encapsulated_packets() {
    let blue: Vec<_> = (0..5u8).map(|n| udp(WEB1, DB1, &vec![n; 100 * usize::from(n)])).collect();
    let red = [udp(WEB1, DB1, b"red")];
    let inputs =
        [input("blue/web1", pcap(&paced(blue.clone()))), input("red/web1", pcap(&paced(red.clone())))];
    let replayed = replayed("hv-a", &inputs, &Options::default());
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("up0.pcap");
    std::fs::write(&path, replayed.pcap("up0")).unwrap();

    // Of a field that both the outer and the inner packet have, the outer value comes first.
    let fields = [
        "vxlan.flags",
        "vxlan.vni",
        "ip.checksum.status",
        "ip.src",
        "ip.dst",
        "udp.dstport",
        "udp.payload",
        "eth.src",
        "_ws.malformed",
    ];
    let rows = decoded(&path, &fields);
    let sent = [&blue[0], &red[0]].into_iter().chain(&blue[1..]);
    assert_eq!(rows.len(), 6);
    for (row, inner) in rows.iter().zip(sent) {
        let vni = if *inner == red[0] { 2001u32 } else { 1001 };
        assert_eq!(row[..2], ["0x0800".to_owned(), vni.to_string()]);
        // 1 is "good".
        assert_eq!(row[2], "1,1");
        assert_eq!(row[3..6], ["198.51.100.1,10.1.0.11", "198.51.100.2,10.1.0.13", "4789,9"]);
        let payload = row[6].split(',').next().unwrap().replace(':', "");
        let expected: String = inner.iter().map(|byte| format!("{byte:02x}")).collect();
        // Behind the VXLAN header.
        assert_eq!(payload[16..], expected);
        assert_eq!(row[7..], ["02:00:c6:33:64:01,02:00:00:00:01:01", ""]);
    }
}
