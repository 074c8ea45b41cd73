//! Flows, as collectors of IPFIX and readers of lines have them.

use std::fmt::Write;
use std::process::Command;

use serde_json::Value;
use testbed::{Error, Lab, Namespace, Result, Spawn, host, wait_for};
use weft::report::FlowReport;

use super::{
    DB, DENIED, HOST, Sink, WEB, export, lines, memory, of_flows, path, quiet, said, spec, sum_of, text,
    total, traffic,
};
use crate::policy::traffic::on;
use crate::{SOON, settle};

pub const COLLECTOR: &str = "127.0.0.1:4739";

pub fn nfdump() -> Result<()> {
    let lab = Lab::up(spec(0))?;
    let place = Namespace::new("export")?;
    let (folder, flows) = path(&lab, "flows");
    on("a folder", std::fs::create_dir(folder))?;
    let nfcapd = Spawn::new("nfcapd").args(["-b", "127.0.0.1", "-p", "4739", "-B", "4000000", "-w", &flows]);
    let nfcapd = place.spawn(nfcapd)?;
    let sockets = || said(&place, "ss -Hlun");
    wait_for(SOON, "nfcapd to listen", || Ok(sockets()?.contains(COLLECTOR).then_some(())))?;
    let export = export(&lab, &place, &["--ipfix", &format!("udp:{COLLECTOR}")])?;
    // Records of before count from where they are: it has to have the file open, which comes after its socket.
    let maps = format!("grep -q {HOST}/stats /proc/{}/maps", export.pid());
    let is_open =
        || Ok(Command::new("sh").args(["-c", &maps]).status().is_ok_and(|s| s.success()).then_some(()));
    wait_for(SOON, "the exporter to read", is_open)?;
    traffic(&lab)?;
    quiet(&lab)?;
    let reader = memory(&lab)?;
    settle(&lab)?;
    export.wait_for_log("the switch has ended", SOON)?;
    export.terminate(SOON)?;
    wait_for(SOON, "nfcapd to have read all", || {
        let sockets = sockets()?;
        let queued = sockets.lines().find(|line| line.contains(COLLECTOR)).map(str::split_whitespace);
        Ok((queued.and_then(|mut words| words.nth(1)) == Some("0")).then_some(()))
    })?;
    nfcapd.terminate(SOON)?;

    let printed = said(&place, &format!("nfdump -R {flows} -o json"))?;
    let flows: Vec<Value> = serde_json::from_str(&printed)
        .map_err(|error| Error::failed(format!("nfdump: {error}"), printed.clone()))?;
    let sums = [["in_packets", "out_packets"], ["in_bytes", "out_bytes"]].map(|names| total(&flows, &names));
    println!("nfdump: {} records, {} packets, {} bytes", flows.len(), sums[0], sums[1]);
    assert!(flows.len() > 300, "{}", flows.len());
    assert_eq!(sums, of_flows(&reader));
    // Each direction for itself: echoes come back one for one.
    for (protocol, kind) in [(1, 8), (58, 128)] {
        let of: Vec<Value> = flows.iter().filter(|flow| flow["proto"] == protocol).cloned().collect();
        let pings = [["in_packets"], ["out_packets"]].map(|names| total(&of, &names));
        assert_eq!(pings, [3, 3], "{of:?}");
        for flow in of {
            assert_eq!((&flow["icmp_type"], &flow["icmp_code"]), (&kind.into(), &0.into()), "{flow}");
        }
    }
    Ok(())
}

pub fn tshark() -> Result<()> {
    let lab = Lab::up(spec(0))?;
    let place = Namespace::new("export")?;
    let sink = Sink::start(&place, COLLECTOR)?;
    let (file, out) = path(&lab, "flows.json");
    let export = export(&lab, &place, &["--ipfix", &format!("tcp:{COLLECTOR}"), "--json", &out, "--all"])?;
    let dir = lab.dir().path().display().to_string();
    let flows = ["flows", "--follow", "--all", "--json", "--host", HOST, "--runtime-dir", &dir];
    let shown = Spawn::new(host::binary()?).args(flows).named("flows").start_apart_in(lab.dir())?;
    traffic(&lab)?;
    quiet(&lab)?;
    // It has the file open when it has printed something: the file goes with the switch.
    wait_for(SOON, "weft flows to read", || Ok((!shown.out().is_empty()).then_some(())))?;
    let reader = memory(&lab)?;
    settle(&lab)?;
    shown.wait(SOON)?;
    export.wait_for_log("the switch has ended", SOON)?;
    export.terminate(SOON)?;

    let reports: Vec<FlowReport> = lines(&text(&file))?;
    // Moments are by the wall clock, which is set now and then while the two read.
    let timeless = |report: &FlowReport| FlowReport {
        written_unix_ns: 0,
        started_unix_ns: 0,
        last_unix_ns: 0,
        ..report.clone()
    };
    let shown: Vec<FlowReport> = lines(&shown.out())?;
    for (exported, shown) in reports.iter().zip(&shown) {
        assert_eq!(timeless(exported), timeless(shown), "as `weft flows` prints it");
        let names = [&exported.from, &exported.to].map(|end| end.endpoint.as_deref());
        assert_eq!(names, [Some(WEB.0), Some(DB.0)], "{exported:?}");
    }
    assert_eq!(reports.len(), shown.len());
    assert_eq!(sum_of(&reports), of_flows(&reader));
    let told = decode(&lab, &sink.finish()?)?;
    println!("tshark: {told:?}; {} lines", reports.len());
    assert_eq!([told.packets, told.bytes], of_flows(&reader));
    assert_eq!(told.dropped, u64::from(DENIED));
    Ok(())
}

/// What tshark reads in a stream of IPFIX.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    pub packets: u64,
    pub bytes: u64,
    /// Packets that were denied.
    pub dropped: u64,
}

/// Decodes a stream with tshark, which is given it as TCP segments.
pub fn decode(lab: &Lab, stream: &[u8]) -> Result<Told> {
    let (hex, hex_path) = path(lab, "stream.hex");
    let pcap = path(lab, "stream.pcap").1;
    let mut dump = String::new();
    for segment in stream.chunks(1_000) {
        for (row, bytes) in segment.chunks(16).enumerate() {
            let _ = write!(dump, "{:06x}", row * 16);
            for byte in bytes {
                let _ = write!(dump, " {byte:02x}");
            }
            dump.push('\n');
        }
    }
    on("a dump", std::fs::write(&hex, dump))?;
    let made = Spawn::new("text2pcap").args([
        "-q",
        "-4",
        "127.0.0.1,127.0.0.1",
        "-T",
        "40000,4739",
        &hex_path,
        &pcap,
    ]);
    made.run(SOON)?.success("text2pcap")?;
    let decoded = Spawn::new("tshark").args(["-n", "-r", &pcap, "-Y", "cflow", "-V"]).run(SOON)?;
    let decoded = decoded.success("tshark")?;
    assert!(!decoded.contains("Malformed"), "{decoded}");
    let sum = |name: &str| -> u64 {
        let values =
            decoded.lines().filter_map(|line| line.trim().strip_prefix(name)?.split_whitespace().next());
        values.filter_map(|value| value.parse::<u64>().ok()).sum()
    };
    Ok(Told {
        // The responder's are called the same, with "Reverse" after the number.
        packets: sum("Packets:"),
        bytes: sum("Octets:"),
        dropped: sum("Dropped Packets:"),
    })
}
