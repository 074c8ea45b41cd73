//! `weft explain`: what would happen to a connection, and why.

use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use super::plan::ask;
use super::show::Target;
use crate::config::scalar::Codepoint;
use crate::config::{self, Fabric};
use crate::explain::{Ask, Explanation, Purpose, SOURCE_PORT, Written, explain, lines, title, widths};
use crate::report::Document;

/// Tells what would happen to a connection, stage by stage, with the rule that decides.
///
/// A made-up packet goes through the same stages as a real one, on the sender's host and on the receiver's, and then the
/// packet that answers it. No switch has to run, and one that runs is only asked for its document.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Who opens the connection: `tenant/endpoint`, or an IP address outside.
    #[arg(long, value_name = "END")]
    pub from: Written,
    /// Who it is opened to: `tenant/endpoint`, or an IP address.
    #[arg(long, value_name = "END")]
    pub to: Written,
    /// What for: tcp/PORT, udp/PORT, sctp/PORT, icmp or icmpv6 (an echo request) or with /TYPE and /CODE, proto/NUMBER.
    #[arg(value_name = "SERVICE")]
    pub service: Purpose,
    /// The fabric's document [default: the one that the running switch has].
    #[arg(long, value_name = "FILE")]
    pub fabric: Option<PathBuf>,
    /// The running switch.
    #[command(flatten)]
    pub at: Target,
    /// The port that it is opened from; the identifier of ICMP queries.
    #[arg(long, value_name = "PORT", default_value_t = SOURCE_PORT)]
    pub source_port: u16,
    /// By IPv6, where both ends have both.
    #[arg(long)]
    pub ipv6: bool,
    /// The DSCP that its packets have, which tells their traffic class: a name, as ef or af41, or 0 to 63.
    #[arg(long, value_name = "DSCP", default_value = "be")]
    pub dscp: Codepoint,
    /// Print one line of JSON.
    #[arg(long)]
    pub json: bool,
}

/// Explains, and prints it.
///
/// Exits with 0 when the connection passes, with 1 when it does not, and with 2 when the document or an argument is
/// wrong, or there is no document.
pub fn run(args: Args) -> ExitCode {
    let fabric = match fabric(&args) {
        Ok(fabric) => fabric,
        Err(problem) => {
            super::say(problem);
            return ExitCode::from(2);
        }
    };
    let Args { from, to, service, source_port, ipv6, dscp, json, .. } = args;
    let asked = Ask { from, to, purpose: service, source: source_port, ipv6, dscp };
    let explanation = match explain(&fabric, &asked) {
        Ok(explanation) => explanation,
        Err(problem) => {
            super::say(format_args!("weft: {problem}\n"));
            return ExitCode::from(2);
        }
    };
    let text = if json { as_json(&explanation) } else { as_text(&explanation, asked.purpose) };
    if let Err(error) = super::print(&text) {
        super::say(format_args!("weft: standard output: {error}\n"));
        return ExitCode::FAILURE;
    }
    if explanation.passes { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The fabric of the document that is given, or of the running switch's.
///
/// # Errors
///
/// With what to say of it, in whole lines.
fn fabric(args: &Args) -> Result<Fabric, String> {
    let read = match &args.fabric {
        Some(path) => config::load(path),
        None => {
            let told = ask(&args.at, async |client| client.document().await);
            let Document { host, text, .. } =
                told.map_err(|error| format!("weft: {error}; without a switch give --fabric FILE\n"))?;
            config::parse(&format!("the document of {host}"), &text)
        }
    };
    read.map_err(|found| found.to_string())
}

fn as_json(explanation: &Explanation) -> String {
    // Of strings, numbers and lists: nothing that JSON could not say.
    format!("{}\n", serde_json::to_string(explanation).unwrap_or_default())
}

fn as_text(explanation: &Explanation, purpose: Purpose) -> String {
    let Explanation { from, to, source, notes, there, back, verdict, .. } = explanation;
    let mut text = title(from, to, purpose, Some(*source)) + "\n";
    notes.iter().for_each(|note| text.push_str(&format!("note: {note}\n")));
    let widths = widths(there.iter().chain(back));
    for (title, steps) in [("there", there), ("back", back)] {
        if !steps.is_empty() {
            let _ = writeln!(text, "\n{title}");
            text += &lines(steps, widths);
        }
    }
    let _ = writeln!(text, "\n{verdict}");
    text
}
