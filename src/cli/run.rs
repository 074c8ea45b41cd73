//! `weft run`: the switch of one host, in the foreground.

use std::io::{self, IsTerminal, Stderr, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use crate::config::{self, Fabric, checked::HostIndex};
use crate::control::api::{self, Proposal, Request, RequestError, Socket};
use crate::control::runtime_dir::{Instance, RuntimeDir};
use crate::control::switch::{Refused, Silent, Switch, WatchError};

/// How often the control thread looks at the ports' links.
const WATCH: Duration = Duration::from_millis(100);

/// Runs the switch of one host in the foreground, until SIGINT or SIGTERM.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The fabric's document.
    #[arg(value_name = "FABRIC")]
    pub fabric: PathBuf,
    /// Which of its hosts this is.
    #[arg(long, value_name = "NAME")]
    pub host: String,
    /// Where the sockets are: DIR/NAME/ [default: $XDG_RUNTIME_DIR/weft, or /run/weft].
    #[arg(long, value_name = "DIR")]
    pub runtime_dir: Option<PathBuf>,
    /// How log lines on standard error look.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts the switch and serves its API until a signal asks it to stop; then prints the final ledger, as one line
/// of JSON on standard output.
///
/// Exits with 2 when the document or an argument is wrong, with 1 when the switch can't start or lost a packet.
pub fn run(args: Args) -> ExitCode {
    log_to_stderr(args.log_format);
    let (text, fabric) = match config::load_with_text(&args.fabric) {
        Ok(read) => read,
        Err(found) => {
            super::say(found);
            return ExitCode::from(2);
        }
    };
    super::say(&fabric.warnings);
    let Some(host) = fabric.host(&args.host) else {
        let names: Vec<_> = fabric.hosts.iter().map(|host| host.name.to_string()).collect();
        super::say(format_args!(
            "weft: {} has no host {}; its hosts are {}\n",
            args.fabric.display(),
            args.host,
            names.join(", ")
        ));
        return ExitCode::from(2);
    };
    match serve(&args, (text, fabric), host) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            error!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Whether it ended as it was told to, with every packet accounted for.
fn serve(
    args: &Args,
    document: (String, Fabric),
    host: HostIndex,
) -> Result<bool, Box<dyn std::error::Error>> {
    let instance = RuntimeDir::new(args.runtime_dir.as_deref()).claim(&args.host)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(control(document, host, &args.host, &instance))
}

/// The control thread's loop.
async fn control(
    document: (String, Fabric),
    host: HostIndex,
    name: &str,
    instance: &Instance,
) -> Result<bool, Box<dyn std::error::Error>> {
    // Before anything is opened, so that a signal during the start is not lost.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let socket = Socket::bind(&instance.api_socket())?;
    let mut switch = Switch::start(document, host, instance)?;
    let (handle, mut requests) = api::channel();
    let (end, ended) = oneshot::channel::<()>();
    let mut server = std::pin::pin!(api::serve(socket, handle, async {
        // An error says that the sender is gone, which says the same.
        let _ = ended.await;
    }));
    let mut watch = tokio::time::interval(WATCH);
    watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
    info!(host = name, version = crate::VERSION, api = %instance.api_socket().display(), "ready");
    let mut api_ended = false;
    let signal = loop {
        tokio::select! {
            _ = interrupt.recv() => break Some("SIGINT"),
            _ = terminate.recv() => break Some("SIGTERM"),
            _ = watch.tick() => {
                switch.watch_links();
                switch.tell_decisions();
                switch.show_life();
                if let Some(worker) = switch.ended_worker() {
                    error!(worker, "a worker has ended by itself; the switch stops, for without it ports are dead");
                    break None;
                }
            }
            Some(request) = requests.recv() => answer(&mut switch, request, instance).await,
            served = &mut server => {
                let why = served.err().map(|error| error.to_string());
                api_ended = true;
                error!(why, "the API has ended by itself; the switch stops, for nobody could ask it anything");
                break None;
            }
        }
    };
    info!(signal, "stopping");
    // The API first: whoever asks from now on learns that the switch stops. It has ended before if it was the cause.
    drop((end, requests));
    if !api_ended && let Err(error) = server.await {
        warn!("{error}");
    }
    let (report, ports) = switch.stop().await;
    let totals = report.totals;
    info!(rx = totals.rx, tx = totals.tx, drops = totals.drops, conserved = totals.conserved, "stopped");
    if let Err(error) = super::print(&format!("{}\n", report.ledger_json())) {
        error!("standard output: {error}");
    }
    ports.close();
    Ok(signal.is_some() && totals.conserved)
}

/// Does what a client asks for. One that has gone away needs no answer.
async fn answer(switch: &mut Switch, request: Request, instance: &Instance) {
    let broken = |silent: Silent| RequestError::Broken(silent.to_string());
    let refused = |refused: Refused| match refused {
        Refused::Silent(silent) => broken(silent),
        refused => RequestError::Refused(refused.to_string()),
    };
    let unwatched = |error: WatchError| match error {
        WatchError::TooMany => RequestError::TooMany(error.to_string()),
        WatchError::NoPort { .. } | WatchError::Filter(_) => RequestError::Unknown(error.to_string()),
        WatchError::Silent(silent) => broken(silent),
    };
    match request {
        Request::Report(answer) => drop(answer.send(switch.report().await.map_err(broken))),
        Request::Document(answer) => drop(answer.send(Ok(switch.document()))),
        Request::Plan(proposal, answer) => {
            drop(answer.send(switch.plan(&proposal.fabric).await.map_err(refused)));
        }
        Request::Apply(proposal, answer) => {
            let Proposal { text, fabric, read } = *proposal;
            let applied = switch.apply((text, fabric), read, instance).await;
            if let Err(refused) = &applied {
                warn!("a document was not put in force: {refused}");
            }
            drop(answer.send(applied.map_err(refused)));
        }
        Request::Sessions(filter, answer) => {
            drop(answer.send(switch.sessions(&filter).await.map_err(broken)));
        }
        Request::Capture(spec, answer) => {
            let begun = switch.capture(&spec).await.map_err(unwatched);
            // Who does not wait for it any more reads nothing.
            if let Err(Ok(capture)) = answer.send(begun)
                && let Err(silent) = switch.unwatch(capture.id).await
            {
                warn!("{silent}");
            }
        }
        Request::Trace(spec, answer) => {
            let begun = switch.trace(&spec).await.map_err(unwatched);
            if let Err(Ok(trace)) = answer.send(begun)
                && let Err(silent) = switch.unwatch(trace.id).await
            {
                warn!("{silent}");
            }
        }
        Request::Profile(answer) => {
            let begun = switch.profile().await.map_err(unwatched);
            if let Err(Ok((id, _))) = answer.send(begun)
                && let Err(silent) = switch.unwatch(id).await
            {
                warn!("{silent}");
            }
        }
        Request::EndWatch(id, answer) => drop(answer.send(switch.unwatch(id).await.map_err(broken))),
        Request::Rules(tenant, answer) => drop(answer.send(switch.rules(&tenant).await.map_err(broken))),
    }
}

fn log_to_stderr(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("WEFT_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Heedless(std::io::stderr()))
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    match format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
}

/// Standard error, where a reader that is gone is no failure: who pipes the log away and quits stops no switch.
struct Heedless(Stderr);

impl Write for Heedless {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        Ok(self.0.write(line).unwrap_or(line.len()))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
