//! The switch as a user runs it: the built program, software devices, ordinary pages.

#![cfg(feature = "dpdk")]
#![allow(clippy::unwrap_used)]

mod change;

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(30);
/// An ordinary user: nobody.
const NOBODY: u32 = 65_534;

const DOCUMENT: &str = r#"
fabric: { name: lab }
hosts:
  - name: hv-a
    vtep: 198.51.100.1
    memory: { size: 64MiB, hugepages: off }
    uplinks: [{ name: up0, device: net_ring0, address: [198.51.100.1/24] }]
  - { name: hv-b, vtep: 198.51.100.2 }
tenants:
  - name: blue
    segments: [{ name: front, vni: 1001, subnet: [10.1.0.0/24] }]
    endpoints:
      - { name: web1, host: hv-a, attach: { vhost-user: web1.sock }, segment: front, mac: "02:00:00:00:01:01", ip: [10.1.0.11] }
      - { name: db1, host: hv-b, attach: { vhost-user: db1.sock }, segment: front, mac: "02:00:00:00:01:02", ip: [10.1.0.12] }
    policy: { default: allow, rules: [] }
"#;

/// A folder with a document in it, and a runtime directory.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self::with(|document| document)
    }

    fn with(edit: impl FnOnce(String) -> String) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::write(place.path("fabric.yaml"), edit(DOCUMENT.into())).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn weft(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weft"));
        command.args(arguments).current_dir(self.0.path()).env("WEFT_LOG", "info");
        command.args(["--host", "hv-a", "--runtime-dir"]).arg(self.path("rt"));
        command
    }

    fn run(&self) -> Command {
        self.weft(&["run", "fabric.yaml"])
    }

    /// A run that does not start: its exit status, and what it says.
    fn refused(&self) -> (i32, String) {
        refused(self.run())
    }

    /// What the doctor says of this document: whether a switch would start.
    fn doctor(&self) -> bool {
        self.weft(&["doctor", "fabric.yaml"]).output().unwrap().status.success()
    }

    /// What is left in the runtime directory of the host.
    fn left(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("rt/hv-a")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn refused(mut run: Command) -> (i32, String) {
    // Should it start after all, it is not waited for.
    let mut switch = Switch(run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let status = switch.ended();
    let mut said = String::new();
    switch.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (status.unwrap_or(-1), said)
}

/// A running switch, killed when dropped.
struct Switch(Child);

impl Switch {
    /// Starts `run` and waits until it says that it is ready. Its log goes on into a file.
    fn start(mut run: Command, log: &Path) -> Self {
        run.stdout(Stdio::piped()).stderr(File::create(log).unwrap());
        let switch = Self(run.spawn().unwrap());
        until("it is ready", || {
            let log = fs::read_to_string(log).unwrap();
            assert!(!log.contains("ERROR"), "{log}");
            log.contains(" ready ")
        });
        switch
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// The exit status; none if it was killed.
    fn ended(&mut self) -> Option<i32> {
        until("it ends", || self.0.try_wait().unwrap().is_some());
        self.0.wait().unwrap().code()
    }

    /// Stops it as a user does. Returns the exit status and the ledger, the last line that it prints.
    fn stop(mut self, signal: Signal) -> (Option<i32>, Value) {
        self.signal(signal);
        let status = self.ended();
        let lines: Vec<_> =
            BufReader::new(self.0.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
        (status, serde_json::from_str(lines.last().unwrap()).unwrap())
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !happened() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn it_stops_by_either_signal_with_a_ledger_and_leaves_nothing() {
    let place = Place::new();
    assert!(place.doctor());
    for signal in [Signal::TERM, Signal::INT] {
        let switch = Switch::start(place.run(), &place.path("log"));
        let (status, ledger) = switch.stop(signal);
        assert_eq!(status, Some(0));
        assert_eq!((&ledger["host"], &ledger["conserved"]), (&"hv-a".into(), &true.into()));
        assert_eq!(place.left(), ["lock"]);
    }
}

#[test]
fn a_running_switch_shows_all_its_tables() {
    let place = Place::new();
    let switch = Switch::start(place.run(), &place.path("log"));
    for (table, named) in [
        ("ports", "blue/web1"),
        ("tenants", "blue"),
        ("endpoints", "blue/db1"),
        ("tunnels", "hv-b"),
        ("drops", "no packet was dropped"),
        ("workers", "adaptive"),
    ] {
        let shown = place.weft(&["show", table]).output().unwrap();
        assert!(shown.status.success() && text(&shown).contains(named), "{table}: {}", text(&shown));
        let json = place.weft(&["show", table, "--json"]).output().unwrap();
        let rows: Value = serde_json::from_str(&text(&json)).unwrap();
        assert!(rows.is_array(), "{table}: {rows}");
    }
    drop(switch);
}

#[test]
fn a_flood_from_a_device_is_accounted_to_the_packet() {
    // net_null makes packets without end; all of them are malformed.
    let place =
        Place::with(|document| document.replace("vhost-user: web1.sock", "device: \"net_null0,size=60\""));
    let switch = Switch::start(place.run(), &place.path("log"));
    let dropped = || {
        let shown = place.weft(&["show", "drops", "--json"]).output().unwrap();
        let rows: Value = serde_json::from_str(&text(&shown)).unwrap_or_default();
        rows[0]["packets"].as_u64().unwrap_or_default()
    };
    until("packets were dropped", || dropped() > 10_000);
    let (status, ledger) = switch.stop(Signal::TERM);
    assert_eq!((status, &ledger["conserved"]), (Some(0), &true.into()));
    let port = &ledger["ports"]["blue/web1"];
    let drops: u64 = port["drops"].as_object().unwrap().values().map(|drops| drops.as_u64().unwrap()).sum();
    assert_eq!(port["rx"].as_u64(), Some(drops));
}

#[test]
fn a_second_switch_of_a_host_is_refused() {
    let place = Place::new();
    let switch = Switch::start(place.run(), &place.path("log"));
    assert!(!place.doctor());
    let (status, said) = place.refused();
    assert_eq!(status, 1);
    let by = format!("(process {})", switch.0.id());
    assert!(said.contains("a switch of host hv-a already runs in") && said.contains(&by), "{said}");
}

#[test]
fn a_host_or_a_document_that_is_wrong_is_refused_with_2() {
    let place = Place::new();
    let mut run = Command::new(env!("CARGO_BIN_EXE_weft"));
    run.current_dir(place.path("")).args(["run", "fabric.yaml", "--host", "hv-x"]);
    assert_eq!(refused(run), (2, "weft: fabric.yaml has no host hv-x; its hosts are hv-a, hv-b\n".into()));
    let place = Place::with(|document| document.replace("vtep: 198.51.100.2", "vtap: 198.51.100.2"));
    assert!(!place.doctor());
    let (status, said) = place.refused();
    assert_eq!(status, 2);
    assert!(said.starts_with("fabric.yaml:8:") && said.contains("did you mean `vtep`"), "{said}");
    assert!(!place.path("rt").exists());
}

#[test]
fn a_device_that_cannot_be_opened_is_named_with_its_port() {
    for (device, wanted) in [
        ("net_nonsense0", "port up0 (net_nonsense0): device \"net_nonsense0\" is none of DPDK's"),
        ("\"net_af_packet0,iface=absent\"", "port up0 (net_af_packet0,iface=absent): "),
        ("\"0000:ff:1f.7\"", "there is no PCI device 0000:ff:1f.7"),
        ("\"ff:1f.7\"", "there is no PCI device 0000:ff:1f.7"),
    ] {
        let place = Place::with(|document| document.replace("net_ring0", device));
        assert!(!place.doctor(), "{device}");
        let (status, said) = place.refused();
        assert_eq!(status, 1);
        assert!(said.contains(wanted), "{said}");
        assert_eq!(place.left(), ["lock"]);
    }
}

#[test]
fn cores_and_memory_that_are_not_there_are_refused() {
    for (what, document, wanted) in [
        ("cores", "workers: { cores: [1023] }\n    memory: { size: 64MiB", "cannot run on core 1023 alone"),
        ("too much", "memory: { size: 65536GiB", "this machine gives"),
        (
            "too little",
            "workers: { cores: [0, 1, 2, 3, 4, 5, 6, 7] }\n    memory: { size: 64MiB",
            "set its memory.size to",
        ),
    ] {
        let place = Place::with(|text| text.replace("memory: { size: 64MiB", document));
        assert!(!place.doctor(), "{what}");
        let (status, said) = place.refused();
        assert_eq!(status, 1, "{what}");
        assert!(said.contains(wanted) && !said.contains(" ready "), "{said}");
        assert_eq!(place.left(), ["lock"], "{what}");
    }
}

#[test]
fn a_socket_that_is_served_is_left_alone_and_a_stale_one_replaced() {
    let place = Place::new();
    fs::create_dir_all(place.path("rt/hv-a")).unwrap();
    fs::set_permissions(place.path("rt/hv-a"), PermissionsExt::from_mode(0o700)).unwrap();
    let served = UnixListener::bind(place.path("rt/hv-a/web1.sock")).unwrap();
    assert!(!place.doctor());
    let (status, said) = place.refused();
    assert_eq!(status, 1);
    assert!(said.contains("port blue/web1 (vhost-user web1.sock): socket"), "{said}");
    assert!(said.contains("is served by another process"), "{said}");
    drop(served);

    // A killed switch leaves its sockets, and the next one takes their place.
    drop(Switch::start(place.run(), &place.path("log")));
    assert_eq!(place.left(), ["api.sock", "dpdk", "lock", "stats", "web1.sock"]);
    let switch = Switch::start(place.run(), &place.path("log"));
    assert_eq!(switch.stop(Signal::TERM).0, Some(0));
    assert_eq!(place.left(), ["lock"]);
}

#[test]
fn a_folder_for_a_socket_is_made_within_the_instance_and_expected_elsewhere() {
    let place = Place::with(|document| document.replace("web1.sock", "guests/web1.sock"));
    assert!(place.doctor());
    let switch = Switch::start(place.run(), &place.path("log"));
    assert!(place.path("rt/hv-a/guests/web1.sock").exists());
    assert_eq!(switch.stop(Signal::TERM).0, Some(0));
    let place = Place::with(|document| document.replace("web1.sock", "/absent/web1.sock"));
    assert!(!place.doctor());
    let (status, said) = place.refused();
    assert_eq!(status, 1);
    assert!(said.contains("socket /absent/web1.sock: its folder cannot be written to"), "{said}");
}

#[test]
fn a_signal_during_the_start_is_not_lost() {
    let place = Place::new();
    for delay in [10, 30, 60, 100] {
        let mut run = place.run();
        let mut switch = Switch(run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
        std::thread::sleep(Duration::from_millis(delay));
        switch.signal(Signal::TERM);
        // Before it listens to signals it has opened nothing, and simply ends.
        let status = switch.ended();
        assert!(matches!(status, Some(0) | None), "{status:?} after {delay} ms");
        let left = if place.path("rt/hv-a").exists() { place.left() } else { Vec::new() };
        assert!(left.iter().all(|name| name == "lock"), "{left:?} after {delay} ms");
    }
}

#[test]
fn nobody_has_to_read_what_it_says() {
    let place = Place::new();
    let mut run = place.run();
    let mut switch = Switch(run.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    // The readers of both quit before the first line.
    drop((switch.0.stdout.take(), switch.0.stderr.take()));
    until("it serves its API", || place.weft(&["show", "ports"]).output().unwrap().status.success());
    switch.signal(Signal::TERM);
    assert_eq!(switch.ended(), Some(0));
    assert_eq!(place.left(), ["lock"]);
}

#[test]
fn everything_but_the_workers_stays_off_their_cores() {
    let all = rustix::thread::sched_getaffinity(None).unwrap();
    let usable: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).collect();
    let [.., other, own] = usable[..] else { return };
    let workers = format!("workers: {{ cores: [{own}] }}\n    memory:");
    let place = Place::with(|document| document.replace("memory:", &workers));
    let switch = Switch::start(place.run(), &place.path("log"));
    for task in fs::read_dir(format!("/proc/{}/task", switch.0.id())).unwrap() {
        let task = task.unwrap().path();
        let name = fs::read_to_string(task.join("comm")).unwrap();
        let status = fs::read_to_string(task.join("status")).unwrap();
        let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim();
        let alone = cores == own.to_string();
        assert_eq!(alone, name.trim() == "worker-0", "{} may use {cores}", name.trim());
        assert!(alone || usable.len() > 2 || cores == other.to_string(), "{} may use {cores}", name.trim());
    }
    drop(switch);
}

#[test]
fn an_ordinary_user_runs_it_and_is_told_where_it_may_not() {
    if !geteuid().is_root() {
        return;
    }
    let place = Place::new();
    fs::set_permissions(place.path(""), PermissionsExt::from_mode(0o755)).unwrap();
    // What builds this may live where nobody else may look.
    fs::copy(env!("CARGO_BIN_EXE_weft"), place.path("weft")).unwrap();
    let as_nobody = || {
        let mut run = Command::new(place.path("weft"));
        run.args(["run", "fabric.yaml", "--host", "hv-a", "--runtime-dir", "rt"]);
        run.current_dir(place.path("")).uid(NOBODY).gid(NOBODY);
        run
    };
    let (status, said) = refused(as_nobody());
    assert_eq!(status, 1);
    assert!(said.contains("Permission denied") && said.contains("--runtime-dir"), "{said}");
    fs::create_dir(place.path("rt")).unwrap();
    chown(place.path("rt"), Some(NOBODY), Some(NOBODY)).unwrap();
    let switch = Switch::start(as_nobody(), &place.path("log"));
    assert_eq!(switch.stop(Signal::TERM).0, Some(0));
    assert_eq!(place.left(), ["lock"]);
}
