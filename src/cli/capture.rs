//! `weft capture`: packets of a running switch, into a file.

use std::fs::File as Disk;
use std::io::{self, BufWriter, Write};
use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use thiserror::Error;

use super::incoming::take_all;
use super::show::Target;
use crate::capture::file::File;
use crate::capture::filter::{Filter, Wrong};
use crate::capture::{Chunk, End, MAX_SNAP, Spec};
use crate::config::scalar::{Period, Size};
use crate::control::api::{Client, ClientError};
use crate::control::runtime_dir::RuntimeDirError;
use crate::report::text;

/// Captures packets of a running switch as they come in by its ports and as they leave, with the reasons of those that it
/// drops. The file is pcapng, for Wireshark, tshark and tcpdump.
///
/// It ends by itself, for each of --count, --size and --duration has a default; before that with Ctrl-C.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only this port (blue/web1, up0), or the ports of this tenant (blue); may be given several times [default: all]
    #[arg(long, value_name = "NAME")]
    port: Vec<String>,
    /// Only packets that this filter means, as 'tcp port 443 and host 10.1.0.11' or 'drop'; see the README
    #[arg(long, value_name = "EXPR", default_value = "", hide_default_value = true)]
    filter: String,
    /// The file to write; - is standard output
    #[arg(short, long, value_name = "FILE")]
    write: PathBuf,
    /// End after this many packets
    #[arg(long, value_name = "N", default_value = "1000000")]
    count: NonZero<u64>,
    /// End before the file is larger than this, as 16MiB
    #[arg(long, value_name = "BYTES", default_value = "256MiB")]
    size: Size,
    /// End after this time, as 30s
    #[arg(long, value_name = "TIME", default_value = "10m")]
    duration: Period,
    /// Copy no more than this of each packet, in bytes
    #[arg(long, value_name = "N", default_value_t = MAX_SNAP, value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_SNAP)))]
    snap: u32,
    /// Only packets that come in by the port, or that leave by it
    #[arg(long, value_enum, default_value_t = Direction::Both)]
    direction: Direction,
    #[command(flatten)]
    at: Target,
}

/// Which way packets go by a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Direction {
    /// The switch receives them: from the guest, or from the fabric
    In,
    /// The switch sends them
    Out,
    /// Both
    Both,
}

/// Why there is no capture, or why it broke off.
#[derive(Debug, Error)]
enum CaptureError {
    #[error(transparent)]
    Filter(#[from] Wrong),
    #[error(transparent)]
    RuntimeDir(#[from] RuntimeDirError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("{path}: {source}", path = path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl CaptureError {
    /// Nobody reads standard output any more.
    fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Write { source, .. } if source.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// Captures, and says on standard error what came of it.
///
/// Exits with 2 when the filter is wrong, and with 1 when the switch is not reached or has no such port, when the file can't be
/// written, and when the switch went away.
pub fn run(args: Args) -> ExitCode {
    match capture(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            super::say(format_args!("weft: {error}\n"));
            ExitCode::from(if matches!(error, CaptureError::Filter(_)) { 2 } else { 1 })
        }
    }
}

fn capture(args: &Args) -> Result<(), CaptureError> {
    // What is wrong here is told before the switch is asked.
    args.filter.parse::<Filter>()?;
    let socket = args.at.api_socket()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut client = Client::connect(&socket).await?;
        let captures = client.capture(spec(args)).await?;
        let mut taking = Taking { args, file: open(args)?, full: false, total: Total::default() };
        let taken = take_all(&mut client, captures, |chunk| taking.write(chunk)).await;
        taking.end(taken)
    })
}

fn spec(Args { port, filter, count, duration, snap, direction, .. }: &Args) -> Spec {
    Spec {
        ports: port.clone(),
        filter: filter.clone(),
        inward: *direction != Direction::Out,
        outward: *direction != Direction::In,
        snap: *snap,
        count: count.get(),
        duration_ns: u64::try_from(duration.0.as_nanos()).unwrap_or(u64::MAX),
    }
}

type Out = BufWriter<Box<dyn Write>>;

fn open(Args { write, snap, filter, .. }: &Args) -> Result<File<Out>, CaptureError> {
    let begin = || {
        let out: Box<dyn Write> = match write.as_os_str().to_str() {
            Some("-") => Box::new(io::stdout()),
            _ => Box::new(Disk::create(write)?),
        };
        File::begin(BufWriter::new(out), *snap, filter)
    };
    begin().map_err(|source| CaptureError::Write { path: shown(write), source })
}

/// A file's name as messages say it.
fn shown(path: &Path) -> PathBuf {
    if path == Path::new("-") { "standard output".into() } else { path.into() }
}

#[derive(Default)]
struct Total {
    packets: u64,
    dropped: u64,
}

/// A capture on its way into the file.
struct Taking<'a> {
    args: &'a Args,
    file: File<Out>,
    /// Whether that has no room for more.
    full: bool,
    total: Total,
}

impl Taking<'_> {
    /// Writes a part, as long as the file has room: of a full one only what was counted is still wanted.
    fn write(&mut self, chunk: &Chunk) -> Result<ControlFlow<()>, CaptureError> {
        let Self { args, file, full, total } = self;
        if *full {
            return Ok(ControlFlow::Break(()));
        }
        if chunk.id.is_some() {
            let names: Vec<_> = chunk.ports.iter().map(|port| port.name.as_str()).collect();
            let names = if names.len() > 8 { format!("{} ports", names.len()) } else { names.join(", ") };
            super::say(format_args!("weft: capturing {names} into {}\n", shown(&args.write).display()));
        }
        let mut write = || {
            chunk.ports.iter().try_for_each(|port| file.interface(port))?;
            for packet in &chunk.packets {
                // A block has 52 bytes beside these at most, and its comment.
                let more = packet.data.len() + packet.dropped.len() + 80;
                if file.bytes() + more as u64 > args.size.0 {
                    *full = true;
                    return Ok(ControlFlow::Break(()));
                }
                file.packet(packet)?;
                total.packets += 1;
                total.dropped += u64::from(!packet.dropped.is_empty());
            }
            // Whoever reads a pipe sees what there is.
            file.flush()?;
            Ok(ControlFlow::Continue(()))
        };
        write().map_err(|source| CaptureError::Write { path: shown(&args.write), source })
    }

    /// Ends the file, whatever came before, and says what is in it.
    fn end(self, taken: Result<Option<End>, CaptureError>) -> Result<(), CaptureError> {
        let Self { args, file, total, .. } = self;
        let (bytes, path) = (file.bytes(), shown(&args.write));
        let end = taken.as_ref().ok().and_then(Option::as_ref);
        let written = file.end(end);
        if let Err(error) = &taken
            && error.is_closed_pipe()
        {
            return taken.map(drop);
        }
        written.map_err(|source| CaptureError::Write { path: path.clone(), source })?;
        let lost: u64 = end.map(|end| end.ports.iter().map(|port| port.lost).sum()).unwrap_or_default();
        let Total { packets, dropped } = total;
        let mut said = format!(
            "weft: {packets} packet{} in {} ({}), {dropped} of them dropped by the switch",
            if packets == 1 { "" } else { "s" },
            path.display(),
            text::bytes(bytes)
        );
        match end {
            Some(_) if lost > 0 => {
                said += &format!("; {lost} more were lost, for they were not read as fast as they came");
            }
            Some(_) => {}
            None => said += "; how many were lost is not known, for the switch did not say",
        }
        if let Some(End { why, .. }) = end.filter(|end| !end.why.is_empty()) {
            said += &format!("; it ended, for {why}");
        }
        super::say(said + "\n");
        taken.map(drop)
    }
}
