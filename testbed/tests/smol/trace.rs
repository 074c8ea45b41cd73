//! `weft trace`: the way of packets through running switches, stage by stage, with the rules and reasons that decided.

use std::fs;
use std::sync::Arc;

use rustix::process::Signal;
use testbed::guest::smol::frames;
use testbed::host::binary;
use testbed::scope::Exit;
use testbed::{Error, Process, Result, Spawn, WorkDir, wait_for};

use crate::capture::{fabric, place};
use crate::fabric::{Fabric, SOON, mac, v4};

/// A trace that has begun.
pub struct Trace(Process);

impl Trace {
    /// Begins one on a host: when this returns, all workers look.
    pub fn begin(fabric: &Fabric, dir: &Arc<WorkDir>, host: usize, arguments: &[&str]) -> Result<Self> {
        let process = Spawn::new(binary()?)
            .named(format!("trace-{host}-{}", arguments.join("-").replace(['/', ' '], "_")))
            .arg("trace")
            .args(arguments)
            .args(place(fabric, host))
            .start_in(dir)?;
        process.wait_for_log("weft: tracing\n", SOON)?;
        Ok(Self(process))
    }

    /// Ends it, with Ctrl-C.
    pub fn interrupt(&self) {
        self.0.signal(Signal::INT);
    }

    /// What it said when it ended.
    pub fn ended(&self) -> Result<String> {
        let exit = self.0.wait(SOON)?;
        assert_eq!(exit, Exit::Code(0), "{}", self.0.tail());
        Ok(self.0.log())
    }
}

/// Asserts that `text` has these lines, in their order, each as a part of one.
fn has(text: &str, parts: &[&str]) {
    let mut lines = text.lines();
    for part in parts {
        assert!(lines.any(|line| line.contains(part)), "{part} is not in its place in:\n{text}");
    }
}

pub fn ways() -> Result<()> {
    let (fabric, dir) = fabric()?;
    // Neighbours are known, so that nothing waits.
    assert_eq!(fabric.guests.ping("blue/a", v4(13), 1, SOON)?.lost, 0);
    let near =
        Trace::begin(&fabric, &dir, 0, &["--port", "blue/a", "--filter", "udp port 7", "--count", "1"])?;
    let far = Trace::begin(&fabric, &dir, 0, &["--filter", "udp port 8", "--count", "1"])?;
    let there = Trace::begin(&fabric, &dir, 1, &["--filter", "inner udp port 8", "--count", "1"])?;
    fabric.guests.inject("blue/a", &frames::udp((mac(11), v4(11)), (mac(12), v4(12)), (7, 7), b"near"), 1)?;
    fabric.guests.inject("blue/a", &frames::udp((mac(11), v4(11)), (mac(13), v4(13)), (8, 8), b"far"), 1)?;
    let text = near.ended()?;
    has(
        &text,
        &[
            "Z  blue/a  blue/a (10.1.0.11) to blue/b (10.1.0.12), udp/7, from port 7, ",
            "  hv-a  parse         IPv4, udp, ",
            "  hv-a  spoof_check   MAC and address are those of blue/a",
            " is blue/b, on this host",
            "  hv-a  lookup_flow   10.1.0.11 to 10.1.0.12, udp/7: no session yet",
            "  hv-a  check_policy  ",
            "  hv-a  deliver       sent to blue/b",
            "weft: 1 packet, 0 of them dropped by the switch",
        ],
    );
    has(
        &far.ended()?,
        &[
            "blue/a (10.1.0.11) to blue/c (10.1.0.13), udp/8, from port 8, ",
            " is on host hv-b: into the tunnel to it",
            "  hv-a  encap         VXLAN from 198.51.100.1 to 198.51.100.2, the VTEP of hv-b; VNI 1001, UDP source port ",
            "  hv-a  resolve       sent by up0 to ",
        ],
    );
    has(
        &there.ended()?,
        &[
            "Z  up0  blue/a (10.1.0.11) to blue/c (10.1.0.13), udp/8, from port 8, ",
            "  hv-b  decap         up0: from the VTEP of hv-a; VNI 1001 is segment ",
            " is blue/c, on this host",
            "  hv-b  deliver       sent to blue/c",
        ],
    );
    fabric.settle_exactly().map(drop)
}

/// Puts the document in force with so much more at the end of its tenant. Returns its text.
fn apply(fabric: &Fabric, dir: &WorkDir, more: &str) -> Result<String> {
    let document = fs::read_to_string(&fabric.document).expect("our own document") + more;
    let second = dir.join("second.yaml");
    fs::write(&second, &document).expect("a directory of our own");
    for host in &fabric.hosts {
        host.apply(&second)?.success("weft apply")?;
    }
    Ok(document)
}

/// The line that has `text`.
fn line(document: &str, text: &str) -> usize {
    1 + document.lines().position(|line| line.contains(text)).expect("it is in the document")
}

pub fn sessions() -> Result<()> {
    let (fabric, dir) = fabric()?;
    let rule = "        - { name: echo, from: any, to: any, allow: [udp/7] }\n";
    let first = apply(&fabric, &dir, &format!("    policy:\n      default: deny\n      rules:\n{rule}"))?;
    let (a, b) = ((mac(11), v4(11)), (mac(12), v4(12)));
    let (there, back) = (frames::udp(a, b, (9, 7), b"there"), frames::udp(b, a, (7, 9), b"back"));
    fabric.guests.inject("blue/a", &there, 1)?;
    let rule_of = || {
        let sessions = fabric.hosts[0].show("sessions")?;
        let sessions = sessions["sessions"].as_array().into_iter().flatten();
        let echo = sessions.filter(|session| session["to_port"] == 7).map(|session| session["rule"].clone());
        Ok::<_, Error>(echo.collect::<Vec<_>>())
    };
    wait_for(SOON, "the session", || Ok((rule_of()? == ["echo"]).then_some(())))?;
    let trace = Trace::begin(&fabric, &dir, 0, &["--filter", "udp port 7", "--count", "2"])?;
    fabric.guests.inject("blue/a", &there, 1)?;
    fabric.guests.inject("blue/b", &back, 1)?;
    let passes = format!(
        "  hv-a  check_policy  passes by its session, which was allowed by rule echo (line {})",
        line(&first, "name: echo")
    );
    has(&trace.ended()?, &["blue/a (10.1.0.11) to ", &passes, "blue/b (10.1.0.12) to ", &passes]);
    // Another document: the session goes on, by another leave.
    let second = apply(&fabric, &dir, "    policy:\n      default: allow\n")?;
    wait_for(SOON, "the session to be decided again", || Ok((rule_of()? == ["default"]).then_some(())))?;
    let trace =
        Trace::begin(&fabric, &dir, 0, &["--filter", "udp port 7", "--count", "1", "--port", "blue/b"])?;
    fabric.guests.inject("blue/b", &back, 1)?;
    let passes = format!(
        "passes by its session, which was allowed by the default (line {})",
        line(&second, "default: allow")
    );
    has(&trace.ended()?, &[&passes]);
    fabric.settle().map(drop)
}

pub fn drops() -> Result<()> {
    let (fabric, dir) = fabric()?;
    let policy = "    policy:\n      default: allow\n      rules:\n        - { name: no-discard, from: any, to: any, deny: [udp/9] }\n";
    let document = apply(&fabric, &dir, policy)?;
    let text = Trace::begin(&fabric, &dir, 0, &["--port", "blue", "--filter", "drop", "--count", "2"])?;
    let json = Trace::begin(&fabric, &dir, 0, &["--json", "--filter", "drop policy_denied", "--count", "1"])?;
    let idle = Trace::begin(&fabric, &dir, 0, &["--port", "blue/b", "--filter", "tcp"])?;
    let spoofed = frames::udp((mac(66), v4(11)), (mac(12), v4(12)), (7, 7), b"forged");
    let denied = frames::udp((mac(11), v4(11)), (mac(12), v4(12)), (7, 9), b"denied");
    let passes = frames::udp((mac(11), v4(11)), (mac(12), v4(12)), (7, 7), b"passes");
    for frame in [&passes, &spoofed, &denied] {
        fabric.guests.inject("blue/a", frame, 1)?;
    }
    let line = line(&document, "no-discard");
    let rule = format!("  hv-a  check_policy  denied by rule no-discard (line {line})");
    has(
        &text.ended()?,
        &[
            "  hv-a  spoof_check  dropped as spoofed_mac: The source MAC is not the endpoint's.",
            "blue/a (10.1.0.11) to blue/b (10.1.0.12), udp/9, from port 7, ",
            &rule,
            "weft: 2 packets, 2 of them dropped by the switch",
        ],
    );
    let said = json.ended()?;
    let packet = said.lines().find(|line| line.starts_with('{')).expect("a line of JSON");
    let packet: serde_json::Value = serde_json::from_str(packet).expect("JSON");
    let last = packet["steps"].as_array().and_then(|steps| steps.last()).expect("steps");
    assert_eq!(last["dropped"], "policy_denied", "{packet}");
    assert_eq!((&last["ruling"]["rule"], &last["ruling"]["line"]), (&"no-discard".into(), &line.into()));
    for (arguments, said) in [
        (&["--port", "blue/aa"][..], "host hv-a has no port `blue/aa`; did you mean `blue/a`?"),
        (&["--filter", "tpc"], "the filter is wrong at column 1: `tpc` is no test; did you mean `tcp`?"),
        (&["--count", "0"], "0 is not in 1..=1000"),
    ] {
        let wrong = fabric.hosts[0].command(&[&["trace", "--duration", "1s"], arguments].concat())?;
        assert!(wrong.status != 0 && wrong.stdout.contains(said), "{arguments:?}: {wrong:?}");
    }
    idle.interrupt();
    has(&idle.ended()?, &["weft: 0 packets, 0 of them dropped by the switch"]);
    let last = Trace::begin(&fabric, &dir, 0, &["--filter", "tcp"])?;
    let ledgers = fabric.settle()?;
    assert_eq!(ledgers["hv-a"].ports["blue/a"].drops["spoofed_mac"], 1);
    has(&last.ended()?, &["it ended, for the switch stops"]);
    Ok(())
}
