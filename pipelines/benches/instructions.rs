//! How many instructions does a packet take all the way? Counted under callgrind, so that the answer is the same on any
//! machine and however busy it is; held against `instructions.txt`, so that no change makes a way longer unnoticed.
//!
//! `WEFT_BLESS=1` writes the file anew. The program runs itself: `--work WAY BURSTS` is what is counted.
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::{env, fs};

use weft_pipelines::flow::Limits;
use weft_pipelines::testing::frames::{from_fabric, udp6};
use weft_pipelines::testing::lab::endpoint::{DB1, WEB1, WEB2};
use weft_pipelines::testing::lab::{BLUE, host, port};
use weft_pipelines::testing::traffic::{Flows, lab_with_rules, of_flow, syn, udp};
use weft_pipelines::testing::{Lab, Treadmill};
use weft_pipelines::{BURST, PortId};

/// Flows of the ways with established traffic.
const FLOWS: u32 = 1_000;
/// Sessions that there are where each packet opens one; it takes the place of the oldest.
const LIVE: u32 = 10_000;
/// Bursts counted: what comes before them, and is in both runs, is not.
const BURSTS: [u32; 2] = [100, 600];
/// What a way may take more than is written, in percent: where functions are laid out, and which are inlined, differs a
/// little with all else that changes.
const MORE: f64 = 2.0;

/// The ways, and what is special about their packets.
const WAYS: [&str; 8] = [
    "vm_to_vm",
    "vm_to_fabric",
    "vm_to_fabric, 10k rules",
    "fabric_to_vm",
    "vm_to_vm, IPv6",
    "new session, UDP",
    "new session, SYN",
    "new session, SYN, 10k rules",
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--work", way, bursts] => {
            work(way, bursts.parse().expect("a number of bursts"));
            ExitCode::SUCCESS
        }
        // cargo adds --bench.
        _ => gate(),
    }
}

/// Counts all ways, and compares.
fn gate() -> ExitCode {
    let written = fs::read_to_string(file()).unwrap_or_default();
    let expected = read(&written);
    let (mut table, mut longer) = (String::new(), Vec::new());
    for way in WAYS {
        let counted = match count(way) {
            Ok(counted) => counted,
            Err(why) => {
                eprintln!("{way}: {why}");
                return ExitCode::FAILURE;
            }
        };
        writeln!(table, "{counted:>7.1}  {way}").expect("a string takes all");
        let before = expected.get(way).copied();
        let change = before.map(|before| (counted / before - 1.0) * 100.0);
        println!(
            "{counted:>7.1} instructions a packet  {:<28} {}",
            way,
            change.map_or_else(|| "(not written down)".into(), |change| format!("{change:+.1} %"))
        );
        if change.is_none_or(|change| change > MORE) {
            longer.push(way);
        }
    }
    if env::var_os("WEFT_BLESS").is_some() {
        fs::write(file(), format!("{HEAD}{table}")).expect("the file can be written");
        return ExitCode::SUCCESS;
    }
    if longer.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "\nlonger by more than {MORE} % than {} says: {}\nif that is meant: WEFT_BLESS=1 make instructions, and say in \
         the commit what it buys",
        SHOWN,
        longer.join("; ")
    );
    ExitCode::FAILURE
}

const HEAD: &str =
    "# Instructions a packet, as `make instructions` counts them; WEFT_BLESS=1 writes this anew.\n";

/// The file, as whoever stands at the top calls it.
const SHOWN: &str = "pipelines/benches/instructions.txt";

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt")
}

fn read(table: &str) -> BTreeMap<&str, f64> {
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    rows.filter_map(|line| {
        line.trim().split_once("  ").and_then(|(count, way)| Some((way, count.parse().ok()?)))
    })
    .collect()
}

/// Instructions of a packet on `way`: the difference of two runs.
fn count(way: &str) -> Result<f64, String> {
    let [few, many] = BURSTS;
    let packets = f64::from(many - few) * BURST as f64;
    Ok((counted(way, many)? - counted(way, few)?) / packets)
}

/// Instructions of a whole run.
fn counted(way: &str, bursts: u32) -> Result<f64, String> {
    let myself = env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(myself)
        .args(["--work", way, &bursts.to_string()])
        .output()
        .map_err(|error| format!("valgrind does not start: {error}; Debian's package is valgrind"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said.lines().find_map(|line| line.split("Collected : ").nth(1)?.trim().parse().ok());
    collected.filter(|_| output.status.success()).ok_or_else(|| format!("callgrind counts nothing:\n{said}"))
}

/// Takes so many bursts along `way`.
fn work(way: &str, bursts: u32) {
    let rules = if way.ends_with("10k rules") { 10_000 } else { 10 };
    let (mut treadmill, at, mut flows) = match way.split(',').next().expect("there is a first part") {
        "vm_to_vm" if way.ends_with("IPv6") => warm(rules, port::BLUE_WEB1, &udp6(WEB1, WEB2, &[0; 64]), 20),
        "vm_to_vm" => warm(rules, port::BLUE_WEB1, &udp(WEB1, WEB2, 64), 0),
        "vm_to_fabric" => warm(rules, port::BLUE_WEB1, &udp(WEB1, DB1, 64), 0),
        "fabric_to_vm" => {
            warm(rules, port::UPLINK, &from_fabric(host::HV_B, BLUE, &udp(DB1, WEB1, 64)), OUTER)
        }
        "new session" => {
            let frame = if way.contains("SYN") { syn(WEB1, DB1) } else { udp(WEB1, DB1, 64) };
            let limits = Limits { sessions: LIVE, embryonic: LIVE, ..Limits::default() };
            let mut treadmill =
                Treadmill::of(&Lab { limits, ..lab_with_rules(rules, LIVE + LIVE / 4) }, host::HV_A);
            treadmill.receive(port::BLUE_WEB1, &vec![frame; FRAMES]);
            (treadmill, 0, None)
        }
        other => panic!("there is no way {other}"),
    };
    // Where each opens one, the table is full first.
    let first = if flows.is_none() { 2 * LIVE / BURST as u32 } else { 0 };
    let mut next = 0u32;
    let mut turn = |treadmill: &mut Treadmill| {
        treadmill.turn(0, |frame| {
            next = next.wrapping_add(0x9e37_79b9);
            of_flow(&mut frame[at..], flows.as_mut().map_or(next, Flows::choose));
        })
    };
    let before = treadmill.sent(0);
    for _ in 0..first + bursts {
        assert_eq!(turn(&mut treadmill), BURST);
    }
    assert_eq!(treadmill.sent(0) - before, u64::from(first + bursts) * BURST as u64, "all are sent");
}

/// Bytes of the outer headers.
const OUTER: usize = 50;
/// Frames that go round.
const FRAMES: usize = 1024;

/// A host with open sessions of which `port` receives packets; `at`: by how much their ports stand further back than
/// those of a frame of IPv4.
fn warm(rules: usize, port: PortId, frame: &[u8], at: usize) -> (Treadmill, usize, Option<Flows>) {
    let mut treadmill = Treadmill::of(&lab_with_rules(rules, 2 * FLOWS), host::HV_A);
    treadmill.receive(port, &vec![frame; FRAMES]);
    let mut next = 0;
    while next < FLOWS {
        treadmill.turn(0, |frame| {
            of_flow(&mut frame[at..], next.min(FLOWS - 1));
            next += 1;
        });
    }
    (treadmill, at, Some(Flows::new(FLOWS)))
}
