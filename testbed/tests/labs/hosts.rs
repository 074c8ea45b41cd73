use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use testbed::host::HostOptions;
use testbed::{
    Error, GuestKind, Host, HostSpec, Lab, LabSpec, Namespace, Result, Underlay, WorkDir, transfer,
};

/// What the switch promises to its environment, and nothing else: `ready`, the API's socket, answers, a ledger.
const STAND_IN: &str = r#"#!/bin/sh
case $1 in
run)
    mkdir -p "$6/$4" && : > "$6/$4/api.sock"
    trap 'echo "{\"host\":\"$4\",\"ports\":{},\"totals\":{\"rx\":0,\"tx\":0},\"conserved\":true}"; exit 0' TERM
    [ "$4" != broken ] || { echo "no such host" >&2; exit 2; }
    echo "INFO $4 ready" >&2
    while :; do sleep 0.05; done ;;
show) echo "{\"shown\": \"$2\"}" ;;
esac
"#;

pub fn life_of_a_host() -> Result<()> {
    let dir = Arc::new(WorkDir::new()?);
    let mut host = Host::start(&dir, options(&dir, "hv-a"))?;
    host.wait_ready(SOON)?;
    assert_eq!(host.show("ports")?["shown"], "ports");
    host.kill9()?;
    host.restart()?;
    host.wait_ready(SOON)?;
    let ledger = host.stop(SOON)?;
    assert_eq!(ledger.host, "hv-a");
    assert!(ledger.conserved && ledger.adds_up());
    Ok(())
}

pub fn failure_to_start() -> Result<()> {
    let dir = Arc::new(WorkDir::new()?);
    let error = Host::start(&dir, options(&dir, "broken"))?
        .wait_ready(SOON)
        .expect_err("a host without a switch is not ready");
    assert!(matches!(error, Error::Failed { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("broken ended (status 2) before it is ready") && text.contains("no such host"),
        "{text}"
    );
    Ok(())
}

pub fn as_another_user() -> Result<()> {
    let dir = Arc::new(WorkDir::new()?);
    let space = Namespace::new("host")?;
    let namespace = Some(space.name().to_owned());
    let host = Host::start(&dir, HostOptions { namespace, user: Some(NOBODY), ..options(&dir, "hv-a") })?;
    host.wait_ready(SOON)?;
    assert_eq!(fs::metadata(host.socket("api.sock")).expect("its socket").uid(), NOBODY);
    let inside = space.must(&format!("ip netns pids {}", space.name()))?;
    assert!(inside.lines().any(|pid| pid == host.process().pid().to_string()), "{inside}");
    host.stop(SOON).map(drop)
}

pub fn lab_with_peers() -> Result<()> {
    let dir = WorkDir::new()?;
    let mut spec = LabSpec::new(Underlay::Veth)
        .host(HostSpec::new("hv-a", "198.51.100.1"))
        .host(HostSpec::linux("lx-b", "198.51.100.2"))
        .host(HostSpec::linux("lx-c", "198.51.100.3"))
        .segment("blue", "front", 1001, "10.1.0.0/24")
        .guest("blue", "front", "a", "hv-a", "10.1.0.11", GuestKind::Netns)
        .guest("blue", "front", "b", "lx-b", "10.1.0.12", GuestKind::Netns)
        .guest("blue", "front", "c", "lx-c", "10.1.0.13", GuestKind::Netns);
    spec.binary = Some(stand_in(&dir));
    let lab = Lab::up(spec)?;
    let done = transfer(lab.guest("blue/b"), lab.guest("blue/c"), 1, SOON)?;
    assert_eq!(done.sent, done.received);
    assert_eq!(lab.guest("blue/a").run("cat /sys/class/net/eth0/mtu", SOON)?.stdout.trim(), "1550");
    assert!(lab.stop_hosts()?["hv-a"].conserved);
    let place = lab.dir().path().to_owned();
    drop(lab);
    assert!(!place.exists());
    Ok(())
}

fn options(dir: &WorkDir, name: &str) -> HostOptions {
    let fabric = dir.join("fabric.yaml");
    HostOptions { name: name.into(), fabric, namespace: None, user: None, binary: Some(stand_in(dir)) }
}

fn stand_in(dir: &WorkDir) -> PathBuf {
    let path = dir.join("weft");
    fs::write(&path, STAND_IN).expect("a file of our own");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("a file of our own");
    path
}

const SOON: Duration = Duration::from_secs(30);
const NOBODY: u32 = 65_534;
