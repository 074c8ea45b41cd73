//! `weft show`: what a running switch says of itself.

pub(super) mod table;

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;
use thiserror::Error;
use weft_pipelines::flow::State;

use crate::control::api::{Client, ClientError};
use crate::control::runtime_dir::{RuntimeDir, RuntimeDirError};
use crate::report::{
    DropReport, EndpointReport, PortReport, QosReport, Report, SessionFilter, TenantReport, TunnelReport,
};
use crate::service;
use crate::shm::{self, ReadError, Reader};

/// Shows what a running switch says of itself.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    at: Target,
    /// Print JSON, with every counter in full
    #[arg(long, global = true)]
    json: bool,
}

/// Which running switch a command speaks to.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Target {
    /// The folder of the switches' sockets [default: $XDG_RUNTIME_DIR/weft, or /run/weft]
    #[arg(long, value_name = "DIR", global = true)]
    pub runtime_dir: Option<PathBuf>,
    /// The host whose switch to ask, where several run
    #[arg(long, value_name = "NAME", global = true)]
    pub host: Option<String>,
}

impl Target {
    /// The socket of that switch's API.
    ///
    /// # Errors
    ///
    /// When no switch is named and none or several run.
    pub fn api_socket(&self) -> Result<PathBuf, RuntimeDirError> {
        RuntimeDir::new(self.runtime_dir.as_deref()).api_socket(self.host.as_deref())
    }

    /// Its statistics file.
    ///
    /// # Errors
    ///
    /// When no switch is named and none or several run.
    pub fn stats(&self) -> Result<PathBuf, RuntimeDirError> {
        RuntimeDir::new(self.runtime_dir.as_deref()).stats(self.host.as_deref())
    }
}

#[derive(Clone, Debug, Subcommand)]
enum What {
    /// The ports of this host: guests' and uplinks
    Ports {
        /// Only this port (blue/web1, up0), or the ports of this tenant (blue)
        name: Option<String>,
    },
    /// The tenants, and what their guests sent and got
    Tenants {
        /// Only this tenant
        name: Option<String>,
    },
    /// The endpoints of the fabric, those of other hosts included
    Endpoints {
        /// Only this endpoint (blue/web1), or the endpoints of this tenant (blue)
        name: Option<String>,
    },
    /// What tenants and endpoints are assured and may take at most, and what came of it
    Qos {
        /// Only this endpoint (blue/web1), or this tenant with its endpoints (blue)
        name: Option<String>,
    },
    /// The tunnels to the other hosts
    Tunnels {
        /// Only the tunnel to this host
        peer: Option<String>,
    },
    /// Why packets were dropped, and at which ports
    Drops {
        /// Only this reason
        reason: Option<String>,
        /// Also the reasons for which no packet was dropped
        #[arg(long)]
        all: bool,
    },
    /// The worker threads, and what a packet costs them
    Workers,
    /// The rules, and what each of them decided on this host
    Rules {
        /// Only the rules of this tenant
        tenant: Option<String>,
    },
    /// The sessions that there are now
    Sessions(SessionArgs),
    /// How services do between groups: what came of connections and DNS queries, and how long they took
    ///
    /// As this host has seen it since the switch started. A round trip is from here to the client or the server and back. An
    /// endpoint counts as the first of its groups, an address outside of the fabric as the first group of addresses that it is
    /// in, `-` is none; `*` is all that is not counted by itself. It is read from the switch's memory; the switch is not asked.
    Service {
        /// Only this tenant
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
    },
    /// How long packets take in the switch
    ///
    /// Of one burst in 16, by worker: from when it is received until all that it led to is sent, with what else the worker does
    /// in between. What waits in a shaper or for a neighbour's address is not counted until it leaves, nor is what another
    /// worker does with packets that are handed over to it. It is read from the switch's memory; the switch is not asked.
    Latency,
    /// What each stage of the packet's way costs
    ///
    /// Counted while it is asked for, in cycles of the time-stamp counter. `receive` and `send` are the ports; `deliver` is what is
    /// between the stages and the ports; `rest` is all else, rounds without a packet among it. To look costs some 25 cycles a
    /// stage and burst; while nobody looks it costs nothing.
    Stages {
        /// How long to count
        #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
        seconds: u64,
    },
}

#[derive(Clone, Debug, clap::Args)]
struct SessionArgs {
    /// Only those of this tenant (blue), or that count for this endpoint (blue/web1)
    name: Option<String>,
    /// Only those with this address at one of their ends
    #[arg(long, value_name = "IP")]
    address: Option<IpAddr>,
    /// Only those of this protocol: tcp, udp, sctp, icmp, icmpv6, or a number
    #[arg(long, value_name = "NAME")]
    protocol: Option<String>,
    /// Only those in this state, as established
    #[arg(long, value_name = "STATE", value_parser = STATES)]
    state: Option<String>,
    /// Only those that this rule lets pass; `default` for those of no rule
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// How many to show at most; 0 for all
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u64,
}

/// The names of the states.
const STATES: [&str; State::ALL.len()] = {
    let mut names = [""; State::ALL.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = State::ALL[index].name();
        index += 1;
    }
    names
};

impl SessionArgs {
    fn filter(&self) -> SessionFilter {
        let name = self.name.clone().unwrap_or_default();
        let (tenant, endpoint) =
            if name.contains('/') { (String::new(), name) } else { (name, String::new()) };
        SessionFilter {
            tenant,
            endpoint,
            address: self.address.map(|address| address.to_string()).unwrap_or_default(),
            protocol: self.protocol.clone().unwrap_or_default(),
            state: self.state.clone().unwrap_or_default(),
            rule: self.rule.clone().unwrap_or_default(),
            limit: self.limit,
        }
    }
}

/// Asks the switch and prints its answer.
pub fn run(args: Args) -> ExitCode {
    match answer(&args).and_then(|text| Ok(super::print(&text)?)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            super::say(format_args!("weft: {error}\n"));
            ExitCode::FAILURE
        }
    }
}

fn answer(args: &Args) -> Result<String, ShowError> {
    if matches!(args.what, What::Service { .. } | What::Latency) {
        return render_stats(&args.what, &Reader::open(&args.at.stats()?)?, args.json);
    }
    let socket = args.at.api_socket()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let connect = Client::connect(&socket);
    match &args.what {
        What::Rules { tenant } => {
            let tenant = tenant.as_deref().unwrap_or_default();
            let rules = runtime.block_on(async { connect.await?.rules(tenant).await })?;
            Rows(rules).print(args.json, table::rules)
        }
        What::Sessions(session) => {
            let filter = session.filter();
            let sessions = runtime.block_on(async { connect.await?.sessions(&filter).await })?;
            match args.json {
                true => Ok(serde_json::to_string_pretty(&sessions)? + "\n"),
                false => Ok(table::sessions(&sessions)),
            }
        }
        What::Stages { seconds } => {
            let time = Duration::from_secs(*seconds);
            let stages = runtime.block_on(async { connect.await?.stages(time).await })?;
            Rows(stages).print(args.json, table::stages)
        }
        what => {
            let report = runtime.block_on(async { connect.await?.report().await })?;
            render(what, report, args.json)
        }
    }
}

/// Why nothing is shown.
#[derive(Debug, Error)]
enum ShowError {
    #[error(transparent)]
    RuntimeDir(#[from] RuntimeDirError),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("host {host} has no {what} {name}; `weft show {command}` lists them")]
    NoSuch { host: String, what: &'static str, command: &'static str, name: String },
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// The part of `report` that is asked for, as a table or as JSON.
fn render(what: &What, report: Report, json: bool) -> Result<String, ShowError> {
    let Report { host, totals, .. } = report;
    match what {
        What::Ports { name } => {
            let rows = Rows::of(report.ports, name, &host, "port", "ports")?;
            let whole = name.is_none().then_some(&totals);
            rows.print(json, |rows| table::ports(rows, whole))
        }
        What::Tenants { name } => {
            Rows::of(report.tenants, name, &host, "tenant", "tenants")?.print(json, table::tenants)
        }
        What::Endpoints { name } => {
            Rows::of(report.endpoints, name, &host, "endpoint", "endpoints")?.print(json, table::endpoints)
        }
        What::Qos { name } => {
            Rows::of(report.qos, name, &host, "tenant or endpoint", "qos")?.print(json, table::qos)
        }
        What::Tunnels { peer } => {
            Rows::of(report.tunnels, peer, &host, "tunnel to", "tunnels")?.print(json, table::tunnels)
        }
        What::Drops { reason, all } => {
            let mut rows = Rows::of(report.drops, reason, &host, "drop reason", "drops --all")?;
            rows.0.retain(|drop| *all || reason.is_some() || drop.packets > 0);
            table::most_first(&mut rows.0);
            rows.print(json, table::drops)
        }
        What::Workers => Rows(report.workers).print(json, table::workers),
        What::Rules { .. }
        | What::Sessions(_)
        | What::Service { .. }
        | What::Latency
        | What::Stages { .. } => {
            unreachable!("these are asked for on their own")
        }
    }
}

/// What stands in the statistics file, as a table or as JSON.
fn render_stats(what: &What, reader: &Reader, json: bool) -> Result<String, ShowError> {
    let What::Service { tenant } = what else {
        return Rows(service::latency(reader)?).print(json, table::latency);
    };
    let labels = reader.labels()?;
    let mut services = service::services(reader, &labels)?;
    if let Some(name) = tenant {
        if !labels.iter_of(shm::What::Tenant).any(|(_, _, tenant)| tenant == name) {
            let host = labels.name(shm::What::Host, 0).unwrap_or_default().to_owned();
            return Err(ShowError::NoSuch { host, what: "tenant", command: "tenants", name: name.clone() });
        }
        services.retain(|of| of.tenant == *name);
    }
    Rows(services).print(json, table::services)
}

/// The rows to print.
struct Rows<T>(Vec<T>);

impl<T: Named + Serialize> Rows<T> {
    /// Those of `rows` that `name` means.
    fn of(
        rows: Vec<T>,
        name: &Option<String>,
        host: &str,
        what: &'static str,
        command: &'static str,
    ) -> Result<Self, ShowError> {
        let Some(name) = name else { return Ok(Self(rows)) };
        let rows: Vec<T> = rows.into_iter().filter(|row| row.is_meant_by(name)).collect();
        if rows.is_empty() {
            return Err(ShowError::NoSuch { host: host.into(), what, command, name: name.clone() });
        }
        Ok(Self(rows))
    }
}

impl<T: Serialize> Rows<T> {
    fn print(&self, json: bool, table: impl FnOnce(&[T]) -> String) -> Result<String, ShowError> {
        if json { Ok(serde_json::to_string_pretty(&self.0)? + "\n") } else { Ok(table(&self.0)) }
    }
}

/// What a command line can name.
trait Named {
    /// Whether `name` means it, alone or among others.
    fn is_meant_by(&self, name: &str) -> bool;
}

impl Named for PortReport {
    fn is_meant_by(&self, name: &str) -> bool {
        self.name == name || self.name.split_once('/').is_some_and(|(tenant, _)| tenant == name)
    }
}

impl Named for TenantReport {
    fn is_meant_by(&self, name: &str) -> bool {
        self.name == name
    }
}

impl Named for QosReport {
    fn is_meant_by(&self, name: &str) -> bool {
        self.name == name || self.name.split_once('/').is_some_and(|(tenant, _)| tenant == name)
    }
}

impl Named for EndpointReport {
    fn is_meant_by(&self, name: &str) -> bool {
        self.tenant == name || name.split_once('/') == Some((&self.tenant, &self.name))
    }
}

impl Named for TunnelReport {
    fn is_meant_by(&self, name: &str) -> bool {
        self.peer == name
    }
}

impl Named for DropReport {
    fn is_meant_by(&self, name: &str) -> bool {
        self.reason == name
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::control::api::{Request, Socket, channel, serve};
    use crate::report::{WorkerReport, samples};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &[&str]) -> Args {
        Line::try_parse_from([&["show"], line].concat()).unwrap().args
    }

    fn shown(line: &[&str]) -> String {
        let args = parse(line);
        render(&args.what, samples::report(), args.json).unwrap()
    }

    macro_rules! tables {
        ($($name:ident: $($word:literal)+;)+) => {
            $(#[test] fn $name() { insta::assert_snapshot!(shown(&[$($word),+])); })+
        };
    }

    tables! {
        ports: "ports";
        ports_of_a_tenant: "ports" "blue";
        tenants: "tenants";
        endpoints: "endpoints";
        qos: "qos";
        qos_of_an_endpoint: "qos" "blue/web1";
        tunnels: "tunnels";
        drops: "drops";
        all_drops: "drops" "--all";
        workers: "workers";
    }

    #[test]
    fn json_is_the_matching_part_of_the_report() {
        let ports: Vec<PortReport> = serde_json::from_str(&shown(&["ports", "--json"])).unwrap();
        assert_eq!(ports, samples::report().ports);
        let workers: Vec<WorkerReport> = serde_json::from_str(&shown(&["--json", "workers"])).unwrap();
        assert_eq!(workers, samples::report().workers);
        let endpoints: Vec<EndpointReport> =
            serde_json::from_str(&shown(&["endpoints", "blue/db1", "--json"])).unwrap();
        assert_eq!(endpoints, [samples::report().endpoints[2].clone()]);
        let qos: Vec<QosReport> = serde_json::from_str(&shown(&["qos", "blue", "--json"])).unwrap();
        assert_eq!(qos, samples::report().qos);
    }

    #[test]
    fn nothing_to_show_is_said() {
        let empty = || Report { host: "hv-a".into(), ..Report::default() };
        let shown = |line: &[&str]| render(&parse(line).what, empty(), false).unwrap();
        assert_eq!(shown(&["drops"]), "no packet was dropped\n");
        assert_eq!(shown(&["qos"]), "no endpoints on this host\n");
        assert_eq!(shown(&["tunnels"]), "no tunnels: no other host is known\n");
    }

    #[test]
    fn a_name_that_means_nothing_is_an_error() {
        let error = render(&parse(&["ports", "blue/web9"]).what, samples::report(), false).unwrap_err();
        assert_eq!(error.to_string(), "host hv-a has no port blue/web9; `weft show ports` lists them");
    }

    #[test]
    fn asks_the_only_switch_that_runs() {
        let temp = tempfile::tempdir().unwrap();
        let dir = RuntimeDir::new(Some(temp.path()));
        let instance = dir.claim("hv-a").unwrap();
        let socket = Socket::bind(&instance.api_socket()).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let switch = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let end = async {
                let _ = stopped.await;
            };
            let (handle, mut requests) = channel();
            runtime.block_on(async {
                tokio::spawn(async move {
                    while let Some(Request::Report(answer)) = requests.recv().await {
                        answer.send(Ok(samples::report())).unwrap();
                    }
                });
                serve(socket, handle, end).await.unwrap();
            });
        });
        let root = temp.path().to_str().unwrap();
        let text = answer(&parse(&["ports", "--runtime-dir", root])).unwrap();
        assert_eq!(text, shown(&["ports"]));
        let text = answer(&parse(&["drops", "--json", "--host", "hv-a", "--runtime-dir", root])).unwrap();
        assert_eq!(text, shown(&["drops", "--json"]));
        let error = answer(&parse(&["drops", "--host", "hv-b", "--runtime-dir", root])).unwrap_err();
        assert!(error.to_string().starts_with("no switch runs here"), "{error}");
        stop.send(()).unwrap();
        switch.join().unwrap();
        let error = answer(&parse(&["ports", "--runtime-dir", root])).unwrap_err();
        assert!(matches!(error, ShowError::RuntimeDir(RuntimeDirError::NoneRuns { .. })), "{error}");
    }
}
