//! The facts of the machine that figures are of.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::figures::line;
use super::ground::Ground;
use crate::Result;
use crate::error::Doing;
use crate::load::Pages;

/// Facts, by name, in the order of the table.
pub type Facts = Vec<(&'static str, String)>;

/// What the machine is. `roles` says who has which core.
pub fn facts(ground: &Ground, roles: &str) -> Facts {
    let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let of = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
    };
    let processor = file("/proc/cpuinfo");
    let memory = file("/proc/meminfo");
    let cores = processor.lines().filter(|line| line.starts_with("processor")).count();
    let date = std::process::Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"]).output();
    let date =
        date.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    vec![
        ("date", date),
        ("processor", format!("{}, {} MHz", of(&processor, "model name"), of(&processor, "cpu MHz"))),
        ("cores", format!("{cores}; {roles}")),
        ("memory", of(&memory, "MemTotal")),
        ("kernel", file("/proc/sys/kernel/osrelease").trim().to_owned()),
        ("pages", format!("{}, for packet buffers and guests", pages(ground.pages))),
    ]
}

fn pages(pages: Pages) -> &'static str {
    match pages {
        Pages::Huge => "hugepages of 2 MiB",
        Pages::Small => "ordinary ones",
    }
}

/// The facts as a list of Markdown.
pub fn list(text: &mut String, facts: &[(&'static str, String)]) {
    for (name, value) in facts {
        line(text, format_args!("- {name}: {value}"));
    }
}

/// The facts as JSON.
pub fn object(facts: &[(&'static str, String)]) -> Value {
    facts
        .iter()
        .map(|(name, value)| ((*name).to_owned(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

/// Writes results into the folder `out`: `NAME.md` and `NAME.json`.
pub fn write(out: &Path, name: &str, table: &str, raw: &Value) -> Result<()> {
    fs::create_dir_all(out).doing(|| format!("making {}", out.display()))?;
    for (end, text) in [("md", table.to_owned()), ("json", format!("{raw:#}\n"))] {
        let path = out.join(format!("{name}.{end}"));
        fs::write(&path, text).doing(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
