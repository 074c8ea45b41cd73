//! `weft flows`: what flows there are and were, and each as it comes.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use clap::ValueEnum;
use thiserror::Error;

use super::show::{Target, table};
use crate::control::runtime_dir::RuntimeDirError;
use crate::flows::{Flows, Told};
use crate::report::FlowReport;
use crate::shm::ReadError;

/// Between two looks where there is nothing new.
const LOOK: Duration = Duration::from_millis(20);

/// Shows the flows that a running switch has told of: what is going on, what has ended, what was denied. It reads the
/// switch's memory and asks it nothing.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    filter: Filter,
    /// Print each record as it comes, from now on, until interrupted or the switch ends
    #[arg(long, short)]
    follow: bool,
    /// With --follow: also the records that are there already
    #[arg(long, requires = "follow")]
    all: bool,
    /// Print addresses in place of the endpoints' names
    #[arg(long, short)]
    numeric: bool,
    /// Print JSON: a record a line, with all that is known
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: Target,
}

/// Which flows are meant.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Filter {
    /// Only those of this tenant (blue), or of this endpoint (blue/web1)
    name: Option<String>,
    /// Only those with this address at one of their ends
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// Only those with this port at one of their ends
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Only those of this protocol: tcp, udp, sctp, icmp, icmpv6, or a number
    #[arg(long, value_name = "NAME")]
    protocol: Option<String>,
    /// Only those that this rule decided; `default` for the default
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Only those of which this is told last
    #[arg(long, value_enum, value_name = "WHAT")]
    only: Option<Only>,
}

/// What is told of a flow last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Only {
    /// It goes on
    Open,
    /// It has ended
    Ended,
    /// Policy did not let it begin, or ended it
    Denied,
    /// It would be denied, were it not only audited
    WouldDeny,
}

impl Filter {
    /// Whether a flow is meant.
    pub fn means(&self, flow: &FlowReport) -> bool {
        let ends = [&flow.from, &flow.to];
        let is_of = |name: &String| match name.contains('/') {
            true => ends.iter().any(|end| end.endpoint.as_ref() == Some(name)),
            false => flow.tenant == *name,
        };
        let address = self.address.map(|address| address.to_string());
        self.name.as_ref().is_none_or(is_of)
            && address.is_none_or(|address| ends.iter().any(|end| end.address == address))
            && self.port.is_none_or(|port| has_ports(flow) && ends.iter().any(|end| end.port == port))
            && self.protocol.as_ref().is_none_or(|protocol| flow.protocol == *protocol)
            && self.rule.as_ref().is_none_or(|rule| flow.rule == *rule)
            && self.only.is_none_or(|only| match only {
                Only::Open => flow.end == "open",
                Only::Ended => flow.end != "open" && flow.end != "denied",
                Only::Denied => flow.ruling == "denied",
                Only::WouldDeny => flow.ruling == "would-deny",
            })
    }
}

fn has_ports(flow: &FlowReport) -> bool {
    matches!(flow.protocol.as_str(), "tcp" | "udp" | "sctp")
}

/// Reads the switch's memory and prints what is meant.
pub fn run(args: Args) -> ExitCode {
    match answer(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(FlowsError::Io(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            super::say(format_args!("weft: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Why nothing is shown.
#[derive(Debug, Error)]
enum FlowsError {
    #[error(transparent)]
    RuntimeDir(#[from] RuntimeDirError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

fn answer(args: &Args) -> Result<(), FlowsError> {
    let path = args.at.stats()?;
    let mut flows = Flows::open(&path, args.follow && !args.all)?;
    if args.follow { follow(args, &mut flows) } else { print(args, &mut flows) }
}

/// Prints each record as it comes.
fn follow(args: &Args, flows: &mut Flows) -> Result<(), FlowsError> {
    let mut out = BufWriter::new(io::stdout().lock());
    loop {
        match flows.next()? {
            Told::Flow(flow) if args.filter.means(&flow) => {
                if args.json {
                    serde_json::to_writer(&mut out, &flow)?;
                    out.write_all(b"\n")?;
                } else {
                    out.write_all(table::flow_line(&flow, args.numeric).as_bytes())?;
                }
            }
            Told::Flow(_) => {}
            Told::Lost(lost) => {
                out.flush()?;
                super::say(format_args!("weft: {lost} records were overwritten before they were read\n"));
            }
            Told::Nothing => {
                out.flush()?;
                thread::sleep(LOOK);
            }
            Told::Ended => {
                out.flush()?;
                super::say("weft: the switch has ended\n");
                return Ok(());
            }
        }
    }
}

/// Prints what is known of each flow that there are records of.
fn print(args: &Args, flows: &mut Flows) -> Result<(), FlowsError> {
    let (mut latest, mut denied) = (BTreeMap::new(), Vec::new());
    loop {
        match flows.next()? {
            // What policy did not let begin is no flow, and has no number.
            Told::Flow(flow) if flow.end == "denied" => denied.push(flow),
            Told::Flow(flow) => drop(latest.insert(flow.flow, flow)),
            Told::Lost(_) => {}
            Told::Nothing | Told::Ended => break,
        }
    }
    let mut meant: Vec<FlowReport> =
        latest.into_values().chain(denied).map(|flow| *flow).filter(|flow| args.filter.means(flow)).collect();
    meant.sort_by_key(|flow| flow.started_unix_ns);
    let text = if args.json {
        let mut lines = String::new();
        for flow in &meant {
            lines += &serde_json::to_string(flow)?;
            lines.push('\n');
        }
        lines
    } else {
        let reader = flows.reader();
        let now = reader.unix(reader.heartbeat());
        table::flows(&meant, flows.missed().lost, now, args.numeric)
    };
    Ok(super::print(&text)?)
}
