//! Commands that ask a running switch: its part is played by the API with a control loop of the test's own.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::process::{Command, Output};

use tempfile::TempDir;
use tokio::sync::oneshot;
use weft::control::api::{Request, Socket, channel, serve};
use weft::report::{Document, SessionReport, Sessions};

const FABRIC: &str = include_str!("policy_cases/fabric.yaml");

/// A switch of host hv-a, as far as its API goes.
struct Switch {
    dir: TempDir,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Switch {
    /// Runs by the document `text`, with these sessions.
    fn run(text: &'static str, sessions: Vec<SessionReport>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("hv-a")).unwrap();
        let socket = Socket::bind(&dir.path().join("hv-a/api.sock")).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let work = async move {
            let (handle, mut requests) = channel();
            let answer = async {
                while let Some(request) = requests.recv().await {
                    match request {
                        Request::Document(answer) => {
                            let document = Document { host: "hv-a".into(), epoch: 1, text: text.into() };
                            answer.send(Ok(document)).unwrap();
                        }
                        Request::Sessions(_, answer) => {
                            let count = sessions.len() as u64;
                            let sessions = sessions.clone();
                            answer.send(Ok(Sessions { total: count, matched: count, sessions })).unwrap();
                        }
                        other => panic!("{other:?}"),
                    }
                }
            };
            let served = serve(socket, handle, async {
                let _ = stopped.await;
            });
            tokio::select! {
                served = served => served.unwrap(),
                () = answer => {}
            }
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let thread = std::thread::spawn(move || runtime.block_on(work));
        Self { dir, stop: Some(stop), thread: Some(thread) }
    }

    fn weft(&self, arguments: &str) -> Output {
        weft(self.dir.path().to_path_buf(), arguments)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn weft(runtime_dir: PathBuf, arguments: &str) -> Output {
    let mut weft = Command::new(env!("CARGO_BIN_EXE_weft"));
    weft.args(arguments.split_whitespace()).arg("--runtime-dir").arg(runtime_dir);
    weft.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
}

fn session(from: &str, to: &str, protocol: &str, to_port: u32) -> SessionReport {
    SessionReport {
        tenant: "blue".into(),
        vni: 1001,
        protocol: protocol.into(),
        from: from.into(),
        from_port: 40_000,
        to: to.into(),
        to_port,
        packets: 3,
        reply_packets: 2,
        ..SessionReport::default()
    }
}

#[test]
fn an_explanation_goes_by_the_running_document_unless_given_another() {
    let switch = Switch::run(FABRIC, Vec::new());
    let output = switch.weft("explain --from blue/web1 --to blue/db1 tcp/5432");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let output = switch.weft("explain --from blue/web1 --to blue/db1 tcp/22 --host hv-a");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("denied by rule no-ssh"), "{text}");
    let output =
        switch.weft("explain --from blue/web2 --to blue/db1 tcp/22 --fabric tests/policy_cases/fabric.yaml");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn without_a_switch_or_a_document_there_is_nothing_to_explain_or_to_suggest() {
    let empty = tempfile::tempdir().unwrap();
    let output = weft(empty.path().into(), "explain --from blue/web1 --to blue/db1 tcp/5432");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), b"".as_slice()));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.starts_with("weft: ") && said.ends_with("give --fabric FILE\n"), "{said}");
    let output = weft(empty.path().into(), "suggest tests/policy_cases/fabric.yaml --from-flows");
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), b"".as_slice()));
}

#[test]
fn rules_are_suggested_from_the_running_sessions() {
    let sessions = vec![
        session("10.1.0.11", "10.1.0.13", "tcp", 8080),
        session("10.1.0.12", "10.1.0.13", "tcp", 8081),
        session("10.1.0.11", "10.1.0.13", "tcp", 5432),
        session("10.1.0.11", "10.8.0.1", "udp", 53),
    ];
    let switch = Switch::run(FABRIC, sessions);
    let output = switch.weft("suggest tests/policy_cases/fabric.yaml --from-flows");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    let line = |name: &str| FABRIC.lines().position(|line| line.contains(name)).unwrap() + 1;
    let expected = format!(
        "# tenant blue: 1 rule for 2 flows; add at the end of policy.rules, behind names (line {})\n\
         # rules allow 1 other flow already\n        \
         - {{ name: web-to-db-2, from: web, to: db, allow: [tcp/8080-8081] }} # 2 flows, 10 packets\n\
         # no rule is suggested for:\n\
         #   blue/web1 to 10.8.0.1, udp/53: 10.8.0.1 is in no group (1 flow, 5 packets)\n",
        line("name: names")
    );
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn flows_are_read_from_a_file_and_the_rules_pass_when_they_are_pasted() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let flows =
        [session("10.1.0.13", "10.1.0.11", "tcp", 443), session("10.1.0.13", "10.1.0.12", "tcp", 443)];
    let lines: Vec<String> = flows.iter().map(|flow| serde_json::to_string(flow).unwrap()).collect();
    std::fs::write(path("flows"), lines.join("\n")).unwrap();
    let fabric = "tests/policy_cases/fabric.yaml";
    let output = weft(dir.path().into(), &format!("suggest {fabric} --from-flows {}", path("flows")));
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let fragment = String::from_utf8(output.stdout).unwrap();
    // Where it says that they belong.
    let (before, after) = FABRIC.split_once("  - name: red").unwrap();
    let pasted = format!("{before}{fragment}  - name: red{after}");
    std::fs::write(path("pasted.yaml"), &pasted).unwrap();
    let cases = "- { from: blue:db, to: blue:web, service: tcp/443, expect: allow, rule: db-to-web }\n\
                 - { from: blue:db, to: blue:web, service: [tcp/1-442, tcp/444-65535, sctp], expect: deny }\n";
    std::fs::write(path("cases.yaml"), cases).unwrap();
    let mut test = Command::new(env!("CARGO_BIN_EXE_weft"));
    let output = test.current_dir(dir.path()).args(["test", "pasted.yaml", "cases.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}\n{pasted}", String::from_utf8_lossy(&output.stdout));

    std::fs::write(path("flows"), "{}").unwrap();
    let output = weft(dir.path().into(), &format!("suggest {fabric} --from-flows {}", path("flows")));
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.ends_with("/flows: flow 1: missing field `tenant`\n"), "{said}");
    let output = weft(dir.path().into(), &format!("suggest {fabric}"));
    assert_eq!(output.status.code(), Some(2));
}
