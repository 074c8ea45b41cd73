//! `weft test`: cases that hold, cases that do not, and files of cases that are wrong.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::{Command, Output};

const FABRIC: &str = include_str!("fabric.yaml");

/// What the command says of `cases`.
fn tested(cases: &str) -> Output {
    tested_on(FABRIC, cases)
}

fn tested_on(fabric: &str, cases: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("fabric.yaml"), fabric).unwrap();
    fs::write(folder.path().join("cases.yaml"), cases).unwrap();
    let mut weft = Command::new(env!("CARGO_BIN_EXE_weft"));
    weft.current_dir(folder.path()).args(["test", "fabric.yaml", "cases.yaml"]).output().unwrap()
}

/// What it prints, and its status.
fn told(output: &Output) -> (Option<i32>, String) {
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    (output.status.code(), String::from_utf8(output.stdout.clone()).unwrap())
}

/// What it says of a file that is refused.
fn refused(cases: &str) -> String {
    let output = tested(cases);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(2), b"".as_slice()), "{cases}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn cases_that_hold_are_counted() {
    let (status, text) = told(&tested(include_str!("good.yaml")));
    assert_eq!((status, text.as_str()), (Some(0), "17 cases hold\n"), "{text}");
}

#[test]
fn what_does_not_hold_is_told_with_the_rule_that_decided_and_its_line() {
    let (status, text) = told(&tested(
        r#"
- { name: web reaches db, from: blue/web1, to: blue/db1, service: tcp/22, expect: allow }
- { from: blue/web1, to: blue/db1, service: tcp/5432, expect: allow, rule: no-ssh }
- { from: blue/web1, to: blue/db1, service: tcp/5432, expect: allow, audit: deny }
- { from: blue:web, to: blue:db, service: [tcp/5000-6000], expect: allow }
- { from: blue/web1, to: blue/db1, service: tcp/5432, expect: allow }
"#,
    ));
    assert_eq!(status, Some(1));
    let line = |name: &str| FABRIC.lines().position(|line| line.contains(name)).unwrap() + 1;
    let (default, db, ssh) = (line("default: deny"), line("name: web-to-db"), line("name: no-ssh"));
    let expected = format!(
        "cases.yaml:2:3: web reaches db: blue/web1 to blue/db1, tcp/22: expected allow; denied by rule no-ssh (line {ssh}) (2 of 2 questions)\n\
         cases.yaml:3:3: blue/web1 to blue/db1, tcp/5432: expected allow by rule no-ssh \
         (line {ssh}); allowed by rule web-to-db (line {db}) (2 of 2 questions)\n\
         cases.yaml:4:3: blue/web1 to blue/db1, tcp/5432: expected allow, deny under \
         audit; allowed by rule web-to-db (line {db}) (2 of 2 questions)\n\
         cases.yaml:5:3: blue/web1 to blue/db1, tcp/5000: expected allow; denied by \
         the default (line {default}) (6 of 9 questions)\n\
         4 of 5 cases do not hold\n"
    );
    assert_eq!(text, expected);
}

#[test]
fn one_that_does_not_hold_and_one_that_does() {
    let case = "- { from: blue/web1, to: blue/db1, service: tcp/5432, expect: allow }\n";
    assert_eq!(told(&tested(case)), (Some(0), "1 case holds\n".to_owned()));
    let (status, text) = told(&tested(&case.replace("allow", "deny")));
    assert_eq!((status, text.lines().last()), (Some(1), Some("1 of 1 case does not hold")));
    assert_eq!(told(&tested("[]")), (Some(0), "0 cases hold\n".to_owned()));
}

#[test]
fn all_that_is_wrong_with_a_file_is_told_with_its_place() {
    let said = refused(
        r#"- { from: blue/web9, to: blu/db1, service: [tcp/0, tcpp/1], expect: alow }
- { to: blue/db1, service: tcp/1, expect: allow, rulle: x }
- from: blue/web1
  to: red/web1
  service: tcp/1
  expect: deny
- { from: 10.9.0.7, to: 10.9.0.8, service: tcp/1, expect: deny }
- { from: db1, to: blue:webb, service: tcp/1, expect: deny }
- { from: blue/web1, to: blue/db1, service: tcp/1, expect: deny, rule: no-shh }
- { from: blue/web1, to: blue/far1, service: tcp/1, expect: deny }
- { from: blue/web2, to: blue/db1, service: icmpv6, expect: deny }
- { from: blue/web1, to: blue/db1, service: [], expect: deny }
"#,
    );
    for (place, what) in [
        ("1:11", "tenant blue has no endpoint `web9`; did you mean `web1`?"),
        ("1:26", "there is no tenant `blu`; did you mean `blue`?"),
        ("1:45", "`tcp/0`: `0` is not a port from 1 to 65535"),
        ("1:52", "`tcpp/1` has an unknown protocol"),
        ("1:69", "unknown value `alow`; did you mean `allow`?"),
        ("2:3", "missing key `from`"),
        ("2:50", "unknown key `rulle`; did you mean `rule`?"),
        ("4:7", "tenants blue and red are separate worlds: no policy is about both"),
        ("7:25", "both ends are addresses"),
        ("8:11", "`db1` is no end of a connection; did you mean `blue/db1`?"),
        ("8:20", "tenant blue has no group `webb`; did you mean `web`?"),
        ("9:72", "tenant blue has no rule `no-shh`; did you mean `no-ssh`?"),
        ("10:26", "no pair of them shares a segment and a family of addresses"),
        ("11:26", "no pair of them shares a segment and a family of addresses"),
        ("12:45", "is about nothing"),
    ] {
        let line = said.lines().find(|line| line.starts_with(&format!("cases.yaml:{place}: error: ")));
        assert!(line.is_some_and(|line| line.contains(what)), "{place} {what} in:\n{said}");
    }
    assert_eq!(said.lines().count(), 15, "{said}");
}

#[test]
fn what_is_no_list_of_cases_or_no_fabric_is_refused() {
    assert!(refused("cases: []").contains("expected a list"));
    assert!(refused("").contains("empty"));
    assert!(refused("- [").contains("not YAML"));
    let output = tested_on("fabric: {", "[]");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("fabric.yaml:"));
    let mut weft = Command::new(env!("CARGO_BIN_EXE_weft"));
    let output = weft.args(["test", "examples/lab.yaml", "examples/none.yaml"]);
    let output = output.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8(output.stderr).unwrap().contains("examples/none.yaml: error: cannot be opened")
    );
}
