//! The fabric's document: what is accepted, and what is said of the rest.

use std::fmt::Write;
use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;
use weft::config::{self, Fabric};

const GOOD: &str = include_str!("config/good.yaml");
const DESIGN: &str = include_str!("config/design.yaml");
const LAB: &str = include_str!("../examples/lab.yaml");
const MINIMAL: &str = include_str!("../examples/minimal.yaml");

#[test]
fn good_documents_are_accepted_without_a_word() {
    for (name, text) in [("good", GOOD), ("design", DESIGN), ("lab", LAB), ("minimal", MINIMAL)] {
        let fabric = accepted(text);
        assert!(fabric.warnings.list.is_empty(), "{name}: {}", fabric.warnings);
        let crlf = accepted(&text.replace('\n', "\r\n"));
        assert_eq!(crlf, fabric, "{name} with the line ends of another system");
    }
}

#[test]
fn faults_are_told_completely() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/faults.txt");
    let written = std::fs::read_to_string(&path).unwrap();
    let (head, cases) = written.split_once("\n## ").unwrap();
    let mut now = format!("{head}\n");
    for case in cases.split("\n## ") {
        let (title, body) = case.split_once('\n').unwrap();
        let change: String =
            body.lines().filter(|l| l.starts_with(['-', '+'])).fold(String::new(), |s, l| s + l + "\n");
        let found = match config::parse("fabric.yaml", &changed(title, &change)) {
            Ok(fabric) => fabric.warnings,
            Err(found) => found,
        };
        assert!(!found.list.is_empty(), "{title}: nothing was found");
        write!(now, "\n## {title}\n{change}{found}").unwrap();
    }
    if std::env::var_os("WEFT_BLESS").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    for (old, new) in written.split("\n## ").zip(now.split("\n## ")) {
        assert_eq!(old, new);
    }
    assert_eq!(written.len(), now.len());
}

/// `good.yaml` with text taken out (`-`) and other text put in its place (`+`); without `-`, the text put in.
fn changed(title: &str, change: &str) -> String {
    let mut document = GOOD.to_owned();
    let (mut out, mut into): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    let mut apply = |out: &mut Vec<&str>, into: &mut Vec<&str>| {
        let from = out.join("\n");
        if from.is_empty() {
            document = into.join("\n");
        } else {
            assert!(document.contains(&from), "{title}: good.yaml has no {from}");
            document = document.replacen(&from, &into.join("\n"), 1);
        }
        out.clear();
        into.clear();
    };
    for line in change.lines() {
        let text = line.get(2..).unwrap_or_default();
        if line.starts_with('+') {
            into.push(text);
        } else {
            if !into.is_empty() {
                apply(&mut out, &mut into);
            }
            out.push(text);
        }
    }
    apply(&mut out, &mut into);
    document
}

#[test]
fn files_that_are_no_documents() {
    let folder = tempfile::tempdir().unwrap();
    let said = |path: &Path| {
        config::load(path).unwrap_err().to_string().replace(&*path.display().to_string(), "FILE")
    };
    assert_eq!(
        said(&folder.path().join("none")),
        "FILE: error: cannot be opened: No such file or directory (os error 2)\n"
    );
    assert_eq!(said(folder.path()), "FILE: error: is a directory; the document is one file\n");
    let latin = folder.path().join("latin");
    std::fs::write(&latin, b"fabric:\n  name: caf\xe9\n").unwrap();
    assert_eq!(said(&latin), "FILE:2:12: error: not UTF-8 text; save the document as UTF-8\n");
    let good = folder.path().join("good");
    std::fs::write(&good, format!("\u{feff}{GOOD}")).unwrap();
    assert!(config::load(&good).is_ok(), "a byte order mark is let pass");
}

#[test]
fn size_is_bounded() {
    let said = |text: &str| config::parse("f", text).unwrap_err().to_string();
    assert!(said(&" ".repeat((32 << 20) + 1)).contains("at most 33554432"));
    assert!(said(&"[".repeat(100_000)).starts_with("f:1:"));
    assert!(said(&"- ".repeat(100_000)).starts_with("f:1:"));
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for i in 1..20 {
        let below = format!("*a{}, ", i - 1).repeat(10);
        writeln!(bomb, "a{i}: &a{i} [{below}]").unwrap();
    }
    assert!(said(&bomb).contains("aliases followed"));
    let chain: String =
        (1..100).fold("a0: &a0 [x]\n".to_owned(), |s, i| format!("{s}a{i}: &a{i} [*a{}]\n", i - 1));
    assert!(said(&chain).contains("nested more than"));
    let junk = format!("{GOOD}{}", (0..5000).fold(String::new(), |s, i| format!("{s}junk{i}: 1\n")));
    assert_eq!(config::parse("f", &junk).unwrap_err().list.len(), 1001);
}

#[test]
fn anchors_may_be_used() {
    let text = GOOD
        .replace("qos: { rate", "qos: &share { rate")
        .replace("        groups: [db]\n", "        groups: [db]\n        qos: *share\n");
    let fabric = accepted(&text);
    assert_eq!(fabric.tenants[0].qos, fabric.tenants[0].endpoints[1].qos);
    assert!(fabric.tenants[0].qos.is_some());
}

#[test]
fn only_what_is_said_counts_as_different() {
    let moved = format!("# a line more\n{}", GOOD.replace("[10.1.0.11]", "\n          - 10.1.0.11"));
    assert_eq!(accepted(&moved), accepted(GOOD));
    assert_ne!(accepted(&GOOD.replace("10.1.0.11]", "10.1.0.13]")), accepted(GOOD));
}

#[test]
fn the_schema_accepts_what_is_accepted_and_says_what_each_key_is() {
    let schema = config::schema();
    let validator = jsonschema::validator_for(schema).unwrap();
    for text in [GOOD, DESIGN, LAB, MINIMAL] {
        let document: Value = serde_saphyr::from_str(text).unwrap();
        let errors: Vec<String> = validator.iter_errors(&document).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
    let mut keys = 0;
    describe("", schema, &mut keys);
    assert!(keys > 60, "only {keys} keys found");
    let text = schema.to_string();
    assert!(!text.contains("null"), "no key is given null");
}

fn describe(path: &str, schema: &Value, keys: &mut usize) {
    if let Some(Value::Object(properties)) = schema.get("properties") {
        for (key, property) in properties {
            *keys += 1;
            let text = property.get("description").and_then(Value::as_str).unwrap_or_default();
            assert!(text.len() > 10, "{path}/{key} has no description");
        }
    }
    match schema {
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| describe(&format!("{path}/{key}"), value, keys))
        }
        Value::Array(list) => list.iter().for_each(|value| describe(path, value, keys)),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A refused document has a reason, and each reason that has a place has one within the document.
    #[test]
    fn nothing_panics(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..12usize, "[ -~\n]{0,6}|[{}:,&*\\[\\]\"'#|>-]|: |\\PC"), 0..6),
        end in any::<prop::sample::Index>(),
        truncate: bool,
        base in prop::sample::select(vec![GOOD, DESIGN, LAB, MINIMAL]),
    ) {
        let mut text: Vec<char> = base.chars().collect();
        for (at, len, new) in cuts {
            let at = at.index(text.len() + 1);
            let to = (at + len).min(text.len());
            text.splice(at..to, new.chars());
        }
        if truncate {
            text.truncate(end.index(text.len() + 1));
        }
        let text: String = text.into_iter().collect();
        if let Err(found) = config::parse("f", &text) {
            prop_assert!(found.has_errors());
            let lines = text.lines().count() as u32 + 1;
            for finding in &found.list {
                prop_assert!(finding.at.is_none_or(|at| at.line >= 1 && at.line <= lines.max(1) && at.column >= 1));
                prop_assert!(!finding.message.contains('\n'), "{:?}", finding.message);
            }
        }
    }
}

fn accepted(text: &str) -> Fabric {
    config::parse("fabric.yaml", text).unwrap_or_else(|found| panic!("{found}"))
}
