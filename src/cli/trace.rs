//! `weft trace`: packets of a running switch on their way through its stages.

use std::io;
use std::ops::ControlFlow;
use std::process::ExitCode;

use thiserror::Error;

use super::incoming::take_all;
use super::show::Target;
use crate::capture::filter::{Filter, Wrong};
use crate::config::scalar::Period;
use crate::control::api::{Client, ClientError};
use crate::control::runtime_dir::RuntimeDirError;
use crate::explain::{lines, widths};
use crate::trace::{Chunk, End, MAX_COUNT, Spec, Traced};

/// Tells of packets of a running switch, stage by stage, what each decided: as `weft explain` does of made-up ones.
///
/// It ends by itself, for --count and --duration have defaults; before that with Ctrl-C.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only packets that come in by this port (blue/web1, up0), or by the ports of this tenant (blue); may be given several times [default: all]
    #[arg(long, value_name = "NAME")]
    port: Vec<String>,
    /// Only packets that this filter means, as 'tcp port 443 and host 10.1.0.11' or 'drop': that of `weft capture`
    #[arg(long, value_name = "EXPR", default_value = "", hide_default_value = true)]
    filter: String,
    /// End after this many packets
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=MAX_COUNT))]
    count: u64,
    /// End after this time, as 30s
    #[arg(long, value_name = "TIME", default_value = "60s")]
    duration: Period,
    /// Print a line of JSON for each packet
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: Target,
}

/// Why there is no trace, or why it broke off.
#[derive(Debug, Error)]
enum TraceError {
    #[error(transparent)]
    Filter(#[from] Wrong),
    #[error(transparent)]
    RuntimeDir(#[from] RuntimeDirError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("standard output: {0}")]
    Print(io::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Traces, and says on standard error what came of it.
///
/// Exits with 2 when the filter is wrong, and with 1 when the switch is not reached or has no such port, and when it went
/// away.
pub fn run(args: Args) -> ExitCode {
    match trace(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            super::say(format_args!("weft: {error}\n"));
            ExitCode::from(if matches!(error, TraceError::Filter(_)) { 2 } else { 1 })
        }
    }
}

fn trace(args: &Args) -> Result<(), TraceError> {
    // What is wrong here is told before the switch is asked.
    args.filter.parse::<Filter>()?;
    let socket = args.at.api_socket()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut client = Client::connect(&socket).await?;
        let traces = client.trace(spec(args)).await?;
        let mut following = Following { args, packets: 0, dropped: 0 };
        let end = take_all(&mut client, traces, |chunk| following.print(chunk)).await?;
        following.conclude(end);
        Ok(())
    })
}

fn spec(Args { port, filter, count, duration, .. }: &Args) -> Spec {
    Spec {
        ports: port.clone(),
        filter: filter.clone(),
        count: *count,
        duration_ns: u64::try_from(duration.0.as_nanos()).unwrap_or(u64::MAX),
    }
}

/// A trace on its way to the terminal.
struct Following<'a> {
    args: &'a Args,
    packets: u64,
    dropped: u64,
}

impl Following<'_> {
    /// Prints a part.
    fn print(&mut self, chunk: &Chunk) -> Result<ControlFlow<()>, TraceError> {
        if chunk.id.is_some() {
            super::say("weft: tracing\n");
        }
        for packet in &chunk.packets {
            self.packets += 1;
            self.dropped += u64::from(packet.steps.iter().any(|step| step.dropped.is_some()));
            let text = if self.args.json { as_json(packet) } else { as_text(packet) };
            super::print(&text).map_err(TraceError::Print)?;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Says what came of it.
    fn conclude(self, end: Option<End>) {
        let Self { packets, dropped, .. } = self;
        let plural = if packets == 1 { "" } else { "s" };
        let mut said = format!("weft: {packets} packet{plural}, {dropped} of them dropped by the switch");
        match end {
            Some(End { why, lost }) => {
                if lost > 0 {
                    said += &format!("; {lost} more could not be followed, for they came too fast");
                }
                if !why.is_empty() {
                    said += &format!("; it ended, for {why}");
                }
            }
            None => said += "; how many could not be followed is not known, for the switch did not say",
        }
        super::say(said + "\n");
    }
}

fn as_json(packet: &Traced) -> String {
    // Of strings, numbers and lists: nothing that JSON could not say.
    format!("{}\n", serde_json::to_string(packet).unwrap_or_default())
}

fn as_text(Traced { unix_ns, port, packet, len, steps }: &Traced) -> String {
    let widths = widths(steps.iter());
    format!("{}  {port}  {packet}, {len} bytes\n{}\n", time(*unix_ns), lines(steps, widths))
}

/// The time of day in UTC, to the microsecond.
fn time(unix_ns: u64) -> String {
    let (seconds, micros) = (unix_ns / 1_000_000_000, unix_ns / 1_000 % 1_000_000);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{hour:02}:{minute:02}:{second:02}.{micros:06}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::Step;

    #[test]
    fn a_packet_is_a_line_and_one_for_each_stage() {
        let step = |stage: &'static str, says: &str| Step {
            host: "hv-a".into(),
            stage: stage.into(),
            says: says.into(),
            dropped: None,
            ruling: None,
        };
        let packet = Traced {
            unix_ns: 1_700_000_000_123_456_789,
            port: "blue/web1".into(),
            packet: "blue/web1 (10.1.0.11) to blue/db1 (10.1.0.21), tcp/5432".into(),
            len: 74,
            steps: vec![step("parse", "IPv4, tcp, 74 bytes"), step("spoof_check", "fine")],
        };
        assert_eq!(
            as_text(&packet),
            "22:13:20.123456Z  blue/web1  blue/web1 (10.1.0.11) to blue/db1 (10.1.0.21), tcp/5432, 74 bytes\n  \
             hv-a  parse        IPv4, tcp, 74 bytes\n  hv-a  spoof_check  fine\n\n"
        );
    }
}
