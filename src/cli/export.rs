//! `weft export`: a switch's counters and flows, for other systems.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use thiserror::Error;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::show::Target;
use crate::control::runtime_dir::RuntimeDirError;
use crate::export::ipfix::{self, Collector, LEAST};
use crate::export::metrics::Source;
use crate::export::otlp::{Pusher, Target as OtlpTarget};
use crate::export::{Progress, http, json};

/// Exports what a running switch counts, and each of its flows, to other systems, until interrupted. It reads the
/// switch's memory and asks it nothing; when the switch ends, it waits for it to come back.
#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("to").required(true).multiple(true).args(["prometheus", "otlp", "json", "ipfix"]))]
pub struct Args {
    /// Serve metrics to Prometheus, by HTTP at this address, as 127.0.0.1:9469
    #[arg(long, value_name = "ADDRESS", value_parser = listen_address)]
    prometheus: Option<SocketAddr>,
    /// Push metrics to a collector of OTLP, by HTTP: http://HOST:PORT, with /v1/metrics unless there is another path
    #[arg(long, value_name = "URL")]
    otlp: Option<OtlpTarget>,
    /// Between two pushes
    #[arg(long, value_name = "SECONDS", default_value = "60", requires = "otlp", value_parser = interval)]
    interval: Duration,
    /// Append each flow's records to a file, as lines of JSON; `-` for standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Send flows to a collector of IPFIX: udp:HOST:PORT or tcp:HOST:PORT
    #[arg(long, value_name = "COLLECTOR")]
    ipfix: Option<Collector>,
    /// The observation domain: a number that tells this switch from others of the same exporter address
    #[arg(long, value_name = "N", default_value_t = 1, requires = "ipfix")]
    ipfix_domain: u32,
    /// The largest packet on the way to the collector, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = LEAST as u16, requires = "ipfix",
        value_parser = clap::value_parser!(u16).range(576..=9_000))]
    ipfix_mtu: u16,
    /// Export the records that are there already, too
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    at: Target,
}

/// Exports until interrupted.
pub fn run(args: Args) -> ExitCode {
    match export(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            super::say(format_args!("weft: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Why nothing is exported any more.
#[derive(Debug, Error)]
enum ExportError {
    #[error(transparent)]
    RuntimeDir(#[from] RuntimeDirError),
    #[error("cannot serve metrics at {address}: {source}; give --prometheus another address")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot write to {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The exporters of flows, each in a thread.
struct Exporters {
    stop: Arc<AtomicBool>,
    progress: Vec<Arc<Progress>>,
    threads: Vec<JoinHandle<()>>,
    /// Says how one has ended.
    ended: mpsc::UnboundedSender<Result<(), ExportError>>,
}

impl Exporters {
    /// Starts one, which ends when it is told to.
    fn start(
        &mut self,
        name: &'static str,
        work: impl FnOnce(&Progress, &AtomicBool) -> Result<(), ExportError> + Send + 'static,
    ) -> io::Result<()> {
        let (progress, stop, ended) = (Arc::new(Progress::new(name)), self.stop.clone(), self.ended.clone());
        self.progress.push(progress.clone());
        let work = move || drop(ended.send(work(&progress, &stop)));
        self.threads.push(thread::Builder::new().name(name.to_owned()).spawn(work)?);
        Ok(())
    }
}

fn export(args: &Args) -> Result<(), ExportError> {
    let path = args.at.stats()?;
    // All that can fail at the start fails before anything is exported.
    let listener = args
        .prometheus
        .map(|address| TcpListener::bind(address).map_err(|source| ExportError::Listen { address, source }));
    let listener = listener.transpose()?;
    let out = args.json.as_ref().map(output).transpose()?;

    let (ended, mut ends) = mpsc::unbounded_channel();
    let mut exporters = Exporters { stop: Arc::default(), progress: Vec::new(), threads: Vec::new(), ended };
    if let Some((to, out)) = args.json.clone().zip(out) {
        let (path, all) = (path.clone(), args.all);
        exporters.start("json", move |progress, stop| {
            let failed = |source| ExportError::Write { path: to, source };
            json::run(&path, all, out, progress, stop).or_else(enough).map_err(failed)
        })?;
    }
    if let Some(collector) = args.ipfix.clone() {
        let (domain, mtu) = (args.ipfix_domain, usize::from(args.ipfix_mtu));
        let settings = ipfix::Settings { collector, domain, mtu, all: args.all };
        let path = path.clone();
        exporters.start("ipfix", move |progress, stop| {
            ipfix::run(&path, settings, progress, stop);
            Ok(())
        })?;
    }
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut terminated = signal(SignalKind::terminate())?;
        let progress = exporters.progress.clone();
        let source = |path| Source::new(path, progress.clone());
        let mut pusher =
            args.otlp.clone().map(|target| Pusher::new(target, args.interval, &path, source(path.clone())));
        let mut source = source(path.clone());
        if listener.is_some() {
            // That there is no switch is said before anybody asks.
            source.snapshot();
        }
        let serve = async {
            match listener {
                Some(listener) => http::serve(listener, source).await,
                None => std::future::pending().await,
            }
        };
        let push = async {
            match &mut pusher {
                Some(pusher) => pusher.run().await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            _ = interrupted.recv() => Ok(()),
            _ = terminated.recv() => Ok(()),
            served = serve => Ok(served?),
            never = push => match never {},
            Some(ended) = ends.recv() => ended,
        };
        if let Some(pusher) = &mut pusher {
            pusher.finish().await;
        }
        ended
    });
    // A name that is being looked up holds nobody up.
    runtime.shutdown_background();
    exporters.stop.store(true, Ordering::Relaxed);
    let joined = exporters.threads.into_iter().try_for_each(|thread| thread.join());
    joined.map_err(|_| io::Error::other("an exporter has failed"))?;
    // What went wrong only at the end counts, too.
    std::iter::from_fn(|| ends.try_recv().ok()).fold(ended, Result::and)
}

fn output(path: &PathBuf) -> Result<Box<dyn Write + Send>, ExportError> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(BufWriter::new(io::stdout())));
    }
    let file = OpenOptions::new().append(true).create(true).open(path);
    let file = file.map_err(|source| ExportError::Write { path: path.clone(), source })?;
    Ok(Box::new(BufWriter::new(file)))
}

/// Where to listen.
fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let hint = "it has to be an IP address and a port, as 127.0.0.1:9469, [::1]:9469 or, for all addresses, [::]:9469";
    text.parse().map_err(|_| hint.to_owned())
}

/// Seconds between two pushes.
fn interval(text: &str) -> Result<Duration, String> {
    let seconds = text.trim().parse::<u64>().ok().filter(|seconds| (1..=3_600).contains(seconds));
    seconds.map(Duration::from_secs).ok_or_else(|| format!("`{text}` is no number of seconds from 1 to 3600"))
}

/// A reader that has seen enough is no failure.
fn enough(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) }
}
