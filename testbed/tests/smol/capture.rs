//! `weft capture`: what guests send and are sent is in the file, and what is dropped with its reason.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::process::Signal;
use testbed::guest::smol::frames;
use testbed::host::binary;
use testbed::scope::Exit;
use testbed::{Process, Result, Spawn, WorkDir, wait_for};

use crate::fabric::{Fabric, Place, SOON, mac, v4};

/// A capture that has begun.
struct Capture {
    process: Process,
    file: PathBuf,
}

impl Capture {
    /// Begins one on a host: when this returns, all workers look.
    fn begin(
        fabric: &Fabric,
        dir: &Arc<WorkDir>,
        host: usize,
        name: &str,
        arguments: &[&str],
    ) -> Result<Self> {
        let file = dir.join(format!("{name}.pcapng"));
        let process = Spawn::new(binary()?)
            .named(name)
            .args(["capture", "--write", &file.display().to_string()])
            .args(arguments)
            .args(place(fabric, host))
            .start_in(dir)?;
        process.wait_for_log("weft: capturing ", SOON)?;
        Ok(Self { process, file })
    }

    /// Ends it, with Ctrl-C, and returns what it said.
    fn end(&self) -> Result<String> {
        self.process.signal(Signal::INT);
        self.ended()
    }

    /// What it said when it ended by itself.
    fn ended(&self) -> Result<String> {
        let exit = self.process.wait(SOON)?;
        assert_eq!(exit, Exit::Code(0), "{}", self.process.tail());
        Ok(self.process.log())
    }
}

/// The arguments that say which host's switch is meant.
pub fn place(fabric: &Fabric, host: usize) -> [String; 4] {
    let host = &fabric.hosts[host];
    let socket = host.socket("");
    let runtime = socket.parent().expect("the folder of the hosts").display().to_string();
    ["--host".into(), host.name().into(), "--runtime-dir".into(), runtime]
}

/// What tshark tells of the packets that it shows through `filter`: a line each, of these fields.
fn tshark(file: &Path, filter: &str, fields: &[&str]) -> Result<Vec<String>> {
    let file = file.display().to_string();
    let spawn =
        Spawn::new("tshark").args(["-n", "-r", &file, "-Y", filter, "-T", "fields", "-E", "separator=|"]);
    let text = spawn.args(fields.iter().flat_map(|field| ["-e", field])).run(SOON)?.success("tshark")?;
    Ok(text.lines().filter(|line| !line.starts_with("Running as user")).map(str::to_owned).collect())
}

/// The frames that a guest wrote down, or that went by an interface.
fn frames_of(file: &Path) -> Result<Vec<String>> {
    let file = file.display().to_string();
    let spawn = Spawn::new("tshark").args(["-n", "-r", &file, "-T", "jsonraw", "-J", "frame_raw"]);
    let text = spawn.run(SOON)?.success("tshark")?;
    let raw = text.lines().filter_map(|line| line.trim().strip_prefix('"'));
    Ok(raw.filter(|line| line.len() > 60).map(str::to_owned).collect())
}

/// Two guests on a host, and one on another.
pub fn fabric() -> Result<(Fabric, Arc<WorkDir>)> {
    let fabric = Fabric::up(&[Place("blue/a", 0, 11), Place("blue/b", 0, 12), Place("blue/c", 1, 13)])?;
    Ok((fabric, Arc::new(WorkDir::new()?)))
}

pub fn into_a_file() -> Result<()> {
    let (fabric, dir) = fabric()?;
    let ours = Capture::begin(&fabric, &dir, 0, "b-out", &["--port", "blue/b", "--direction", "out"])?;
    let both = Capture::begin(
        &fabric,
        &dir,
        0,
        "icmp",
        &["--port", "blue/a", "--port", "blue/b", "--filter", "icmp"],
    )?;
    let far = Capture::begin(
        &fabric,
        &dir,
        1,
        "up0",
        &["--port", "up0", "--filter", "inner (icmp and host 10.1.0.13)"],
    )?;
    let theirs = dir.join("guest.pcap");
    fabric.guests.capture("blue/b", Some(theirs.clone()))?;
    assert_eq!(fabric.guests.ping("blue/a", v4(12), 20, SOON)?.lost, 0);
    assert_eq!(fabric.guests.ping("blue/a", v4(13), 7, SOON)?.lost, 0);
    fabric.guests.capture("blue/b", None)?;
    for capture in [&ours, &both, &far] {
        let said = capture.end()?;
        assert!(said.contains(", 0 of them dropped by the switch\n"), "{said}");
        let capinfos = Spawn::new("capinfos").arg(&capture.file).run(SOON)?.success("capinfos")?;
        assert!(capinfos.contains("pcapng") && capinfos.contains("nanoseconds (9)"), "{capinfos}");
        assert!(capinfos.contains("Capture application: weft"), "{capinfos}");
    }
    // All that the guest was sent while it wrote, in its order.
    let (all, written) = (frames_of(&ours.file)?, frames_of(&theirs)?);
    assert!(
        written.len() >= 20 && all.windows(written.len()).any(|part| part == written),
        "{all:?}\n{written:?}"
    );
    let fields = ["frame.interface_name", "frame.packet_flags_direction", "icmp.type"];
    let mut ways = tshark(&both.file, "icmp", &fields)?;
    ways.sort();
    let count = |row: &str| ways.iter().filter(|way| *way == row).count();
    // Requests to b and, from a only, to c; and the answers. 1 is in, 2 is out.
    for (row, packets) in [
        ("blue/a|0x00000001|8", 27),
        ("blue/b|0x00000002|8", 20),
        ("blue/b|0x00000001|0", 20),
        ("blue/a|0x00000002|0", 27),
    ] {
        assert_eq!(count(row), packets, "{row}: {ways:?}");
    }
    assert_eq!(ways.len(), 27 + 20 + 20 + 27);
    let outer =
        tshark(&far.file, "vxlan", &["frame.interface_name", "vxlan.vni", "udp.dstport", "icmp.type"])?;
    let count = |kind| outer.iter().filter(|row| **row == format!("up0|1001|4789|{kind}")).count();
    assert_eq!((count("8"), count("0"), outer.len()), (7, 7, 14), "{outer:?}");
    fabric.settle_exactly().map(drop)
}

pub fn drops() -> Result<()> {
    let (fabric, dir) = fabric()?;
    let policy = "    policy:\n      default: allow\n      rules:\n        - { name: no-discard, from: any, to: any, deny: [udp/9] }\n";
    let document = fs::read_to_string(&fabric.document).expect("our own document") + policy;
    let second = dir.join("second.yaml");
    fs::write(&second, &document).expect("a directory of our own");
    // One begins before the change, and sees what comes of it.
    let all = Capture::begin(&fabric, &dir, 0, "all", &["--port", "blue", "--filter", "udp"])?;
    for host in &fabric.hosts {
        host.apply(&second)?.success("weft apply")?;
    }
    let drops = Capture::begin(&fabric, &dir, 0, "drops", &["--filter", "drop", "--count", "5"])?;
    let spoofed = frames::udp((mac(66), v4(11)), (mac(12), v4(12)), (7, 7), b"forged");
    let denied = frames::udp((mac(11), v4(11)), (mac(12), v4(12)), (7, 9), b"denied");
    let passes = frames::udp((mac(11), v4(11)), (mac(12), v4(12)), (7, 7), b"passes");
    fabric.guests.inject("blue/a", &passes, 4)?;
    fabric.guests.inject("blue/a", &spoofed, 3)?;
    fabric.guests.inject("blue/a", &denied, 2)?;
    // It has as many as it was to have.
    let said = drops.ended()?;
    assert!(said.contains("weft: 5 packets in ") && said.contains(", 5 of them dropped"), "{said}");
    let line = 1 + document.lines().position(|line| line.contains("no-discard")).expect("the rule");
    let comments = tshark(&drops.file, "", &["frame.interface_name", "frame.comment", "udp.dstport"])?;
    let spoofed = "blue/a|dropped: spoofed_mac|7".to_owned();
    let refused = format!("blue/a|dropped: policy_denied by rule no-discard (line {line})|9");
    assert_eq!(comments, [vec![spoofed; 3], vec![refused; 2]].concat());
    let said = all.end()?;
    assert!(said.contains("weft: 13 packets in "), "{said}");
    let rows =
        tshark(&all.file, "!frame.comment", &["frame.interface_name", "frame.packet_flags_direction"])?;
    let count = |row: &str| rows.iter().filter(|of| *of == row).count();
    assert_eq!((count("blue/a|0x00000001"), count("blue/b|0x00000002"), rows.len()), (4, 4, 8), "{rows:?}");
    let ledgers = fabric.settle()?;
    assert_eq!(ledgers["hv-a"].ports["blue/a"].drops["spoofed_mac"], 3);
    Ok(())
}

/// Readers that stop, die, or are too many; and a switch that stops.
pub fn ends() -> Result<()> {
    let (fabric, dir) = fabric()?;
    let stopped = Capture::begin(&fabric, &dir, 0, "stopped", &["--port", "blue/a"])?;
    stopped.process.signal(Signal::STOP);
    fabric.guests.tcp_listen("blue/b", 80)?;
    let sent = fabric.guests.tcp_send("blue/a", (v4(12), 80), 64 << 20, 1, SOON)?;
    assert_eq!(sent.bytes, 64 << 20);
    stopped.process.signal(Signal::CONT);
    let said = stopped.end()?;
    let lost = said.split("; ").find_map(|part| part.split_once(" more were lost")?.0.parse::<u64>().ok());
    assert!(lost.is_some_and(|lost| lost > 0), "{said}");
    // As many as came in and left, but for those.
    let taken = tshark(&stopped.file, "", &["frame.number"])?.len() as u64;
    let ports = fabric.hosts[0].show("ports")?;
    let port =
        ports.as_array().into_iter().flatten().find(|port| port["name"] == "blue/a").expect("its port");
    let counted = port["rx"].as_u64().unwrap_or_default() + port["tx"].as_u64().unwrap_or_default();
    assert!(taken + lost.unwrap_or_default() <= counted, "{taken} {lost:?} {counted}");

    let four: Vec<_> = ["one", "two", "three", "four"]
        .iter()
        .map(|name| Capture::begin(&fabric, &dir, 0, name, &[]))
        .collect::<Result<_>>()?;
    let refused = fabric.hosts[0].command(&["capture", "-w", "/dev/null"])?;
    assert!(
        refused.status == 1 && refused.stdout.contains("4 captures, traces and profiles run already"),
        "{refused:?}"
    );
    // One that is killed leaves its place.
    four[0].process.kill9()?;
    let file = dir.join("fifth.pcapng").display().to_string();
    wait_for(SOON, "the place of the one that was killed", || {
        let fifth = fabric.hosts[0].command(&["capture", "-w", &file, "--duration", "1s"])?;
        Ok((fifth.status == 0).then_some(()))
    })?;

    // Those below need not wait for each other's place.
    four[1].end()?;
    for (arguments, said) in [
        (
            &["--port", "blue/aa", "-w", "/dev/null"][..],
            "host hv-a has no port `blue/aa`; did you mean `blue/a`?",
        ),
        (&["--port", "red", "-w", "/dev/null"], "host hv-a has no port `red`; there are up0, blue/a, blue/b"),
        (
            &["--filter", "tpc", "-w", "/dev/null"],
            "the filter is wrong at column 1: `tpc` is no test; did you mean `tcp`?",
        ),
        (&["-w", "/nowhere/x.pcapng"], "/nowhere/x.pcapng: No such file or directory"),
        (&["-w", "/dev/full", "--port", "blue/a"], "/dev/full: No space left on device"),
    ] {
        let arguments = [&["capture", "--duration", "1s"], arguments].concat();
        let wrong = fabric.hosts[0].command(&arguments)?;
        assert!(wrong.status != 0 && wrong.stdout.contains(said), "{arguments:?}: {wrong:?}");
    }
    assert_eq!(fabric.guests.ping("blue/a", v4(12), 3, SOON)?.lost, 0);
    fabric.settle_exactly()?;
    for capture in &four[2..] {
        let said = capture.ended()?;
        assert!(said.contains("it ended, for the switch stops"), "{said}");
        assert!(tshark(&capture.file, "icmp", &["frame.number"])?.len() >= 3 * 4);
    }
    Ok(())
}
