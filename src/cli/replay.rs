//! `weft replay`: a host's packet logic over recorded packets.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use thiserror::Error;
use weft_pipelines::Mac;

use super::show::table;
use crate::config::{self, Fabric};
use crate::replay::against::{Comparison, compare};
use crate::replay::recording::{RecordingError, Source};
use crate::replay::{
    Input, InputSummary, NeighborMode, Options, Outcome, OutputError, Replay, SetupError, file_name,
};
use crate::report::{FlowReport, Report};

/// Bytes of a port's packets that wait to be written.
const BUFFER: usize = 32 << 10;

/// Replays recorded packets through one host's packet logic: in virtual time, without DPDK or any device.
///
/// Two replays of the same files give the same bytes. Packets are merged by their stamps, those with equal stamps in
/// the order of the --in options; within a file time never goes back. Of a recording that is cut off or damaged,
/// what stands before that place is replayed, and the exit status is 1.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The fabric's document.
    #[arg(value_name = "FABRIC")]
    pub fabric: PathBuf,
    /// Which of its hosts to be.
    #[arg(long, value_name = "NAME")]
    pub host: String,
    /// What PORT (`tenant/endpoint`, or an uplink's name) receives: a pcap or pcapng file. Can be repeated, also
    /// for one port.
    #[arg(long = "in", value_name = "PORT=FILE", required = true, value_parser = port_and_file)]
    pub inputs: Vec<(String, PathBuf)>,
    /// Where the packets go that leave: one file for each port of the host, as `tenant.endpoint.pcap` or `up0.pcap`.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// How the underlay's next hops get their MACs where the document gives none.
    #[arg(long, value_enum, default_value_t)]
    pub neighbors: NeighborMode,
    /// The MAC of an uplink [default: what its recordings tell: to whom the first unicast IPv4 packet or ARP reply to
    /// one of its addresses goes, or who sends ARP from one; else made of its address].
    #[arg(long, value_name = "UPLINK=MAC", value_parser = uplink_and_mac)]
    pub uplink_mac: Vec<(String, Mac)>,
    /// Where the records of flows go, as lines of JSON: what `weft flows --follow --all --json` prints of a running switch.
    #[arg(long, value_name = "FILE")]
    pub flows: Option<PathBuf>,
    /// Another document: the recordings are replayed under it too, and the connections told that it would decide
    /// otherwise. What ports send is that under FABRIC, and so is the exit status.
    #[arg(long, value_name = "NEW")]
    pub against: Option<PathBuf>,
    /// Print the ledger as one line of JSON; with --against what differs as another.
    #[arg(long)]
    pub json: bool,
}

fn port_and_file(text: &str) -> Result<(String, PathBuf), &'static str> {
    match text.split_once('=') {
        Some((port, file)) if !port.is_empty() && !file.is_empty() => Ok((port.into(), file.into())),
        _ => Err("not PORT=FILE, as blue/web1=web1.pcap or up0=up0.pcap"),
    }
}

fn uplink_and_mac(text: &str) -> Result<(String, Mac), String> {
    let (uplink, mac) = text.split_once('=').ok_or("not UPLINK=MAC, as up0=02:00:00:00:00:0a")?;
    Ok((uplink.to_owned(), mac.parse().map_err(|error: weft_pipelines::wire::NotAMac| error.to_string())?))
}

/// Replays, writes the outputs, and prints the ledger.
///
/// Exits with 2 when the document or an argument is wrong, with 1 when a recording ends too early, an output can't be
/// written or a packet is unaccounted for.
pub fn run(args: Args) -> ExitCode {
    let read = config::load(&args.fabric)
        .and_then(|fabric| Ok((fabric, args.against.as_deref().map(config::load).transpose()?)));
    let (fabric, new) = match read {
        Ok(read) => read,
        Err(found) => {
            super::say(found);
            return ExitCode::from(2);
        }
    };
    super::say(&fabric.warnings);
    new.iter().for_each(|new| super::say(&new.warnings));
    match replay(&args, &fabric, new.as_ref()) {
        Ok(outcome) => {
            outcome.inputs.iter().for_each(warn_of);
            let whole = outcome.inputs.iter().all(|input| input.trouble.is_none());
            if whole && outcome.report.totals.conserved { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(problem) => {
            super::say(format_args!("weft: {problem}\n"));
            let is_setup =
                matches!(problem, Problem::Setup(_) | Problem::Against { .. } | Problem::Input { .. });
            ExitCode::from(if is_setup { 2 } else { 1 })
        }
    }
}

/// Why there is no outcome.
#[derive(Debug, Error)]
enum Problem {
    #[error("{}: {source}", .path.display())]
    Input { path: PathBuf, source: RecordingError },
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error("{}: {source}", .path.display())]
    Against { path: PathBuf, source: SetupError },
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("{}: {source}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("standard output: {0}")]
    Print(io::Error),
}

fn replay(args: &Args, fabric: &Fabric, new: Option<&Fabric>) -> Result<Outcome<BufWriter<Aside>>, Problem> {
    let mut inputs = Vec::new();
    for (port, path) in &args.inputs {
        let source = Source::at(path).map_err(|source| Problem::Input { path: path.clone(), source })?;
        inputs.push(Input { port: port.clone(), source });
    }
    if let (Some(new), Some(path)) = (new, &args.against)
        && new.host(&args.host).is_none()
    {
        let source = SetupError::no_such_host(new, &args.host);
        return Err(Problem::Against { path: path.clone(), source });
    }
    let uplink_macs = args.uplink_mac.clone();
    let options = Options {
        neighbors: args.neighbors,
        uplink_macs,
        decisions: new.is_some(),
        flows: args.flows.is_some(),
    };
    let replay = Replay::new(fabric, &args.host, &inputs, &options)?;
    fs::create_dir_all(&args.out).map_err(|source| Problem::File { path: args.out.clone(), source })?;
    let open = |port: &str| {
        let path = args.out.join(file_name(port));
        if args.flows.as_ref() == Some(&path) {
            return Err(io::Error::other("--flows names its file; give records another one"));
        }
        let aside = Aside::create(path)?;
        Ok(BufWriter::with_capacity(BUFFER, aside))
    };
    let records = args.flows.as_ref().map(|path| create(path)).transpose()?;
    let mut records = records.map(|aside| BufWriter::with_capacity(BUFFER, aside));
    let tell = |flow: FlowReport| {
        let Some(records) = &mut records else { return Ok(()) };
        serde_json::to_writer(&mut *records, &flow)?;
        records.write_all(b"\n")
    };
    let outcome = replay.run(open, tell).map_err(|error| match (error, &args.flows) {
        (OutputError::Flows(source), Some(path)) => Problem::File { path: path.clone(), source },
        (error, _) => error.into(),
    })?;
    if let Some(records) = &mut records {
        let aside = records.get_ref().path.clone();
        records.flush().map_err(|source| Problem::File { path: aside, source })?;
    }
    let records = records.iter().map(BufWriter::get_ref);
    for aside in outcome.outputs.iter().map(|output| output.writer.get_ref()).chain(records) {
        aside.settle().map_err(|source| Problem::File { path: aside.path.clone(), source })?;
    }
    let report = &outcome.report;
    let mut text = if args.json { format!("{}\n", report.ledger_json()) } else { tables(report) };
    if let (Some(new), Some(path)) = (new, &args.against) {
        let comparison = compare((fabric, new), &args.host, &inputs, &options, &outcome.decisions)?;
        text += &if args.json { json_line(&comparison) } else { differences(&comparison, path) };
    }
    super::print(&text).map_err(Problem::Print)?;
    Ok(outcome)
}

fn create(path: &Path) -> Result<Aside, Problem> {
    Aside::create(path.to_owned()).map_err(|source| Problem::File { path: path.to_owned(), source })
}

/// A file that is written beside its place and put there when it is whole: so a file can be input and output of one
/// replay, and no half of an output looks like a whole one.
///
/// It is open only while something is written, for a host may have more ports than a process may have open files.
#[derive(Debug)]
struct Aside {
    path: PathBuf,
    beside: PathBuf,
}

impl Aside {
    fn create(path: PathBuf) -> io::Result<Self> {
        let mut beside = path.clone().into_os_string();
        beside.push(".partial");
        let beside = PathBuf::from(beside);
        fs::File::create(&beside)?;
        Ok(Self { path, beside })
    }

    fn settle(&self) -> io::Result<()> {
        fs::rename(&self.beside, &self.path)
    }
}

impl Write for Aside {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        OpenOptions::new().append(true).open(&self.beside)?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // There only if the replay failed, and of no use then.
        let _ = fs::remove_file(&self.beside);
    }
}

fn tables(report: &Report) -> String {
    let mut drops: Vec<_> = report.drops.iter().filter(|drop| drop.packets > 0).cloned().collect();
    table::most_first(&mut drops);
    format!("{}\n{}", table::ports(&report.ports, Some(&report.totals)), table::drops(&drops))
}

/// As one line: `{"against": …}`.
fn json_line(comparison: &Comparison) -> String {
    format!("{}\n", serde_json::json!({ "against": comparison }))
}

/// What another document would decide otherwise.
fn differences(comparison: &Comparison, path: &Path) -> String {
    let Comparison { connections, differ, other_rule, left_out } = comparison;
    let new = path.display();
    let mut text = format!(
        "\nagainst {new}: {} of {connections} connections would be decided otherwise\n",
        differ.len()
    );
    differ.iter().for_each(|difference| text += &format!("  {difference}\n"));
    if *other_rule > 0 {
        text += &format!("{other_rule} with the same verdict by another rule\n");
    }
    if !left_out.is_empty() {
        text += &format!("left out, for {new} has no such port here: {}\n", left_out.join(", "));
    }
    text
}

/// Says what was not as it should be with an input.
fn warn_of(input: &InputSummary) {
    let InputSummary { port, recording, packets, snapped, back_in_time, trouble } = input;
    let say =
        |what: std::fmt::Arguments<'_>| super::say(format_args!("weft: {recording} ({port}): {what}\n"));
    if *snapped > 0 {
        say(format_args!(
            "of {snapped} of {packets} packets only the start was recorded (a snap length); they are replayed as \
             they are, and most are dropped as malformed"
        ));
    }
    if *back_in_time > 0 {
        say(format_args!(
            "{back_in_time} of {packets} packets have a stamp before the packet before them; they are replayed in \
             its time"
        ));
    }
    if let Some(trouble) = trouble {
        say(format_args!("{trouble}; the {packets} packets before were replayed"));
    }
}
