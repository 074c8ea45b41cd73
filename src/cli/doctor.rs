//! `weft doctor`: what keeps a switch from starting here, or from being fast, and what mends it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::config::{
    self,
    checked::{Attach, VhostMode},
};
use crate::control::buffers::Buffers;
use crate::control::runtime_dir::RuntimeDir;
use crate::doctor::{
    Build, Case, CheckDocument, Finding, Level, Probe, Wants, document_findings, examine, would_start,
};

/// Says what keeps a switch from starting on this machine, or from being fast there, and what mends it.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The fabric's document; without it the machine alone is examined
    #[arg(requires = "host")]
    fabric: Option<PathBuf>,
    /// The host whose switch would run
    #[arg(long, value_name = "NAME", requires = "fabric")]
    host: Option<String>,
    /// The folder of the switches' sockets [default: $XDG_RUNTIME_DIR/weft, or /run/weft]
    #[arg(long, value_name = "DIR")]
    runtime_dir: Option<PathBuf>,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// Examines this machine; succeeds if `weft run` would start.
pub fn run(args: Args) -> ExitCode {
    let findings = findings(&args, Probe::of_this_machine(), Build::of_this_program(), wants);
    let text = if args.json { json(&findings) } else { text(&findings) };
    match super::print(&text) {
        Err(error) => {
            super::say(format_args!("weft: {error}\n"));
            ExitCode::FAILURE
        }
        Ok(()) if would_start(&findings) => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
    }
}

fn findings(args: &Args, probe: Probe, build: Build, check_document: CheckDocument) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut wants = None;
    if let (Some(fabric), Some(host)) = (&args.fabric, &args.host) {
        let checked = check_document(fabric, host);
        findings.extend(document_findings(fabric, host, &checked));
        wants = checked.ok();
    }
    let runtime_dir = RuntimeDir::new(args.runtime_dir.as_deref()).root().into();
    findings.extend(examine(&Case { probe, build, host: args.host.clone(), wants, runtime_dir }));
    findings
}

/// What `host` of the document at `path` asks of its machine.
fn wants(path: &Path, host: &str) -> Result<Wants, Vec<String>> {
    let fabric = config::load(path).map_err(|found| vec![found.to_string().trim_end().to_owned()])?;
    let index = fabric.host(host).ok_or_else(|| vec![format!("{} has no host {host}", path.display())])?;
    let this = &fabric.hosts[index.0];
    let mut wants = Wants {
        cores: this.workers.cores.iter().map(|core| *core as u32).collect(),
        memory_bytes: this.memory.size,
        hugepages: this.memory.hugepages,
        too_little_memory: Buffers::new(&fabric, index).err().map(|why| (why.to_string(), why.wanted)),
        ..Wants::default()
    };
    this.uplinks.iter().for_each(|uplink| wants.add_device(&uplink.device));
    for endpoint in fabric.tenants.iter().flat_map(|tenant| &tenant.endpoints) {
        match &endpoint.attach {
            _ if endpoint.host != index => {}
            Attach::Device(device) => wants.add_device(device),
            Attach::VhostUser { path, mode: VhostMode::Server, .. } => wants.socket_paths.push(path.clone()),
            Attach::VhostUser { path, mode: VhostMode::Client, .. } => wants.guest_sockets.push(path.clone()),
        }
    }
    Ok(wants)
}

fn json(findings: &[Finding]) -> String {
    let findings: Vec<_> = findings.iter().map(|finding| serde_json::json!(finding)).collect();
    format!("{:#}\n", serde_json::Value::Array(findings))
}

fn text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or(0);
    let mut text = String::new();
    for Finding { check, level, seen, mend } in findings {
        text += &format!("{:<7}  {check:<width$}  {seen}\n", word(*level));
        if let Some(mend) = mend {
            text += &format!("{:<7}  {:<width$}  mend: {mend}\n", "", "");
        }
    }
    text + "\n" + &summary(findings) + "\n"
}

fn summary(findings: &[Finding]) -> String {
    let count =
        |level: Level, one: &str| match findings.iter().filter(|finding| finding.level == level).count() {
            0 => None,
            1 => Some(format!("1 {one}")),
            many => Some(format!("{many} {one}s")),
        };
    let counts: Vec<String> =
        [count(Level::Error, "error"), count(Level::Warning, "warning")].into_iter().flatten().collect();
    let verdict = if would_start(findings) { "`weft run` would start" } else { "`weft run` would not start" };
    if counts.is_empty() { verdict.into() } else { format!("{verdict}: {}", counts.join(", ")) }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Ok => "ok",
        Level::Note => "note",
        Level::Warning => "warning",
        Level::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser;

    use super::*;
    use crate::doctor::Wants;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn some() -> Vec<Finding> {
        vec![
            Finding::ok("processor", "Fake 9000, x86-64-v3"),
            Finding::note("numa", "one node"),
            Finding::warning("hugepages", "2 MiB: 0 configured, 0 free", "sysctl -w vm.nr_hugepages=256"),
            Finding::error("vfio", "vfio-pci is not loaded", "modprobe vfio-pci"),
            Finding::error("device", "there is no 0000:99:00.0 on PCI", "lspci -D"),
        ]
    }

    #[test]
    fn findings_are_readable() {
        insta::assert_snapshot!(text(&some()));
    }

    #[test]
    fn findings_are_json() {
        insta::assert_snapshot!(json(&some()[1..3]));
    }

    #[test]
    fn a_document_and_a_host_come_together() {
        assert!(Line::try_parse_from(["doctor"]).is_ok());
        assert!(Line::try_parse_from(["doctor", "fabric.yaml", "--host", "hv-a"]).is_ok());
        assert!(Line::try_parse_from(["doctor", "fabric.yaml"]).is_err());
        assert!(Line::try_parse_from(["doctor", "--host", "hv-a"]).is_err());
    }

    #[test]
    fn a_bad_document_does_not_hide_the_machine() {
        let root = tempfile::tempdir().unwrap();
        let args =
            Line::try_parse_from(["doctor", "fabric.yaml", "--host", "hv-a", "--runtime-dir", "/run/weft"]);
        let check: CheckDocument = |_: &Path, _: &str| -> Result<Wants, _> { Err(vec!["line 3: no".into()]) };
        let probe = Probe { root: root.path().into() };
        let findings = findings(
            &args.unwrap().args,
            probe,
            Build { dpdk: Some(crate::doctor::Room { devices: 32, sockets: 511 }), x86_64_v3: true },
            check,
        );
        assert_eq!(findings[0], Finding::error("document", "line 3: no", "edit fabric.yaml"));
        assert!(findings.iter().any(|finding| finding.check == "hugepages"));
        assert!(!would_start(&findings));
    }
}
