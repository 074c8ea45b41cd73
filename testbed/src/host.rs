//! A host: a `weft run` process.

use std::collections::BTreeMap;
use std::env;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::error::Doing;
use crate::guest::Output;
use crate::scope::Exit;
use crate::{Error, Process, Result, Spawn, WorkDir};

/// How a host is to be run.
#[derive(Clone, Debug)]
pub struct HostOptions {
    /// Its name in the fabric's document.
    pub name: String,
    /// The document.
    pub fabric: PathBuf,
    /// The network namespace it runs in, if not the lab's own.
    pub namespace: Option<String>,
    /// The user it runs as, if not the lab's own.
    pub user: Option<u32>,
    /// The switch's program, if not [`binary`].
    pub binary: Option<PathBuf>,
}

/// A running switch. Its runtime directory is the lab's, so its sockets lie in `DIR/HOST/`.
#[derive(Debug)]
pub struct Host {
    options: HostOptions,
    dir: Arc<WorkDir>,
    process: Process,
}

impl Host {
    /// Starts the switch and returns; [`Host::wait_ready`] waits for it.
    pub fn start(dir: &Arc<WorkDir>, options: HostOptions) -> Result<Self> {
        let process = launch(dir, &options)?;
        Ok(Self { options, dir: Arc::clone(dir), process })
    }

    /// Waits until it has said that it is ready and serves its API.
    pub fn wait_ready(&self, deadline: Duration) -> Result<()> {
        let api = self.socket("api.sock");
        let is_ready = || self.process.log().contains("ready") && api.exists();
        self.process.wait_until(deadline, "it is ready", is_ready)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// Where it makes the socket of this (relative) path.
    pub fn socket(&self, path: &str) -> PathBuf {
        self.dir.join(&self.options.name).join(path)
    }

    /// Asks the running switch: `weft ARGUMENTS --host NAME --runtime-dir DIR`.
    pub fn command(&self, arguments: &[&str]) -> Result<Output> {
        let place = [
            "--host".into(),
            self.options.name.clone(),
            "--runtime-dir".into(),
            self.dir.path().display().to_string(),
        ];
        Spawn::new(program(&self.options)?).args(arguments).args(place).run(ANSWER)
    }

    /// `weft show WHAT --json`, where `what` may be several words: `sessions blue --protocol tcp`.
    pub fn show(&self, what: &str) -> Result<Value> {
        let words = ["show"].into_iter().chain(what.split(' ')).chain(["--json"]);
        self.ask(&words.collect::<Vec<_>>())
    }

    fn ask(&self, arguments: &[&str]) -> Result<Value> {
        let what_for = format!("weft {} on {}", arguments.join(" "), self.name());
        let text = self.command(arguments)?.success(&what_for)?;
        serde_json::from_str(&text).map_err(|error| Error::failed(format!("{what_for}: {error}"), text))
    }

    /// `weft apply DOCUMENT`. That it is refused is no error here.
    pub fn apply(&self, document: &Path) -> Result<Output> {
        self.command(&["apply", &document.display().to_string()])
    }

    /// `weft plan DOCUMENT --json`.
    pub fn plan(&self, document: &Path) -> Result<Value> {
        self.ask(&["plan", &document.display().to_string(), "--json"])
    }

    /// Stops it (`SIGTERM`) and returns the ledger that it closes with.
    ///
    /// # Errors
    /// When it does not end in time, ends otherwise than with status 0, or prints no ledger.
    pub fn stop(&self, deadline: Duration) -> Result<Ledger> {
        let exit = self.process.terminate(deadline)?;
        if exit != Exit::Code(0) {
            return Err(Error::failed(format!("{} ended with {exit}", self.name()), self.process.tail()));
        }
        let out = self.process.out();
        let last = out.lines().last().unwrap_or_default();
        let malformed = |error| Error::failed(format!("{} printed no ledger: {error}", self.name()), last);
        serde_json::from_str(last).map_err(malformed)
    }

    /// Kills it outright, as a crash would.
    pub fn kill9(&self) -> Result<Exit> {
        self.process.kill9()
    }

    /// Starts it anew, killing it before if it runs.
    pub fn restart(&mut self) -> Result<()> {
        self.kill9()?;
        self.process = launch(&self.dir, &self.options)?;
        Ok(())
    }

    /// The process: its id, its log.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// What a switch counted in its life: for each port, and in sum.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Ledger {
    /// The host's name.
    pub host: String,
    /// By port: `tenant/endpoint`, or the uplink's name.
    pub ports: BTreeMap<String, PortLedger>,
    /// The sums, by name.
    pub totals: BTreeMap<String, u64>,
    /// Whether every packet that came is accounted for, by the switch's own reckoning.
    pub conserved: bool,
}

impl Ledger {
    /// How often any port counted this reason for a drop.
    pub fn drops(&self, reason: &str) -> u64 {
        self.ports.values().filter_map(|port| port.drops.get(reason)).sum()
    }

    /// Reckons again what [`Ledger::conserved`] claims: rx + replicated + originated = tx + drops + consumed + held.
    pub fn adds_up(&self) -> bool {
        let sum = |names: &[&str]| names.iter().filter_map(|name| self.totals.get(*name)).sum::<u64>();
        let by_port = |count: fn(&PortLedger) -> u64| self.ports.values().map(count).sum::<u64>();
        let sides = sum(&["rx", "replicated", "originated"]) == sum(&["tx", "drops", "consumed", "held"]);
        sides && sum(&["rx"]) == by_port(|port| port.rx) && sum(&["tx"]) == by_port(|port| port.tx)
    }
}

/// What a port counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PortLedger {
    /// Packets received from it.
    pub rx: u64,
    /// Packets sent to it.
    pub tx: u64,
    /// Packets dropped, by reason.
    pub drops: BTreeMap<String, u64>,
}

/// The switch's program: `$WEFT_BIN`, or the one that cargo built beside the running program.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = env::var_os("WEFT_BIN") {
        return Ok(path.into());
    }
    beside("weft")
}

/// A program that cargo built beside the running one.
pub(crate) fn beside(program: &str) -> Result<PathBuf> {
    let exe = env::current_exe().doing(|| "finding the running program".into())?;
    // target/PROFILE/testbed or target/PROFILE/deps/TEST
    let beside = exe.ancestors().skip(1).take(2).map(|dir| dir.join(program)).find(|path| path.is_file());
    beside.ok_or_else(|| {
        let variable = program.to_uppercase().replace('-', "_");
        Error::failed(
            format!("no {program} beside {} (cargo build?) and no {variable}_BIN", exe.display()),
            "",
        )
    })
}

fn program(options: &HostOptions) -> Result<PathBuf> {
    options.binary.clone().map_or_else(binary, Ok)
}

fn launch(dir: &Arc<WorkDir>, options: &HostOptions) -> Result<Process> {
    let mut spawn = Spawn::new(program(options)?)
        .named(&options.name)
        .args(["run".as_ref(), options.fabric.as_os_str(), "--host".as_ref(), options.name.as_ref()])
        .args(["--runtime-dir".as_ref(), dir.path().as_os_str()])
        .env("NO_COLOR", "1");
    if let Some(namespace) = &options.namespace {
        spawn = spawn.namespace(namespace);
    }
    if let Some(uid) = options.user {
        own_folder(&dir.join(&options.name), uid)?;
        spawn = spawn.user(uid).env("XDG_RUNTIME_DIR", dir.join(&options.name));
    }
    spawn.start_apart_in(dir)
}

/// The folder that the switch would make itself, made for a user who may not.
fn own_folder(folder: &Path, uid: u32) -> Result<()> {
    let what = || format!("making {} for user {uid}", folder.display());
    std::fs::create_dir_all(folder).doing(what)?;
    chown(folder, Some(uid), Some(uid)).doing(what)?;
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o700)).doing(what)
}

/// The longest that a running switch takes to answer.
const ANSWER: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::Ledger;

    #[test]
    fn a_ledger_adds_up_or_not() {
        let text = r#"{"host":"hv-a","ports":{"blue/web1":{"rx":9,"tx":6,"drops":{"spoofed_ip":2}}},
            "totals":{"rx":9,"tx":6,"drops":2,"replicated":0,"originated":0,"consumed":0,"held":1},"conserved":true}"#;
        let ledger: Ledger = serde_json::from_str(text).unwrap();
        assert!(ledger.adds_up());
        assert_eq!(ledger.drops("spoofed_ip"), 2);
        let lost = text.replace(r#""held":1"#, r#""held":0"#);
        assert!(!serde_json::from_str::<Ledger>(&lost).unwrap().adds_up());
    }
}
