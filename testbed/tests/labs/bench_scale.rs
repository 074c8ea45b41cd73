//! The bench of how Weft scales, in small: that each part measures something and fills its table.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use testbed::{Error, Result, Spawn, WorkDir};

pub fn fills_its_tables() -> Result<()> {
    let out = WorkDir::new()?;
    let words = ["bench-scale", "--quick", "--no-hugepages", "--out", &out.path().display().to_string()];
    Spawn::new(env!("CARGO_BIN_EXE_testbed"))
        .args(words)
        .run(Duration::from_secs(120))?
        .success("bench-scale")?;
    let table = read(&out.join("scale.md"))?;
    let raw: Value = serde_json::from_str(&read(&out.join("scale.json"))?)
        .map_err(|error| Error::failed(error.to_string(), ""))?;
    let parts = &raw["parts"];
    assert_eq!(raw["failures"], Value::Array(Vec::new()));
    assert!(
        raw["machine"]["two cores at once"].is_string() && table.contains("\n- two cores at once: "),
        "{table}"
    );

    // What one worker did, and what two did, packets that stay at their worker and packets that do not.
    let runs: Vec<&Value> = all(&parts["workers"]).iter().flat_map(|case| all(&case["runs"])).collect();
    assert_eq!(runs.len(), 4, "{parts}");
    for run in runs {
        assert!(positive(&run["sent"]) && positive(&run["cycles"]), "{run}");
    }
    // Rounds grow with ports, whether there are guests or not.
    let [nobody, guests] = [false, true].map(|guests| {
        all(&parts["ports"]["medians"]).iter().filter(|figure| figure["guests"] == guests).collect::<Vec<_>>()
    });
    for figures in [nobody, guests] {
        let [few, many] = figures[..] else { panic!("{parts}") };
        assert!(
            many["ports"].as_u64() > few["ports"].as_u64() && many["round"].as_f64() > few["round"].as_f64()
        );
        assert!(
            [few, many].into_iter().all(|figure| positive(&figure["pps"]) && positive(&figure["cycles"]))
        );
    }
    assert!(parts["ports"]["refusal"].as_str().is_some_and(|said| said.contains("1000 vhost-user ports")));
    // Sessions that are open and rules take memory; of a few ports that may be less than what varies.
    let takes = |what: &str| {
        let of: Vec<&Value> = all(&parts["memory"]).iter().filter(|row| row["what"] == what).collect();
        !of.is_empty() && of.iter().all(|row| positive(&row["bytes"]))
    };
    assert!(
        takes("a session that there is room for, all of them open") && takes("a rule"),
        "{}",
        parts["memory"]
    );
    let [start] = all(&parts["start"]["runs"]) else { panic!("{parts}") };
    assert!(["ready", "check", "apply"].iter().all(|time| positive(&start[*time])), "{start}");

    let rows = table.lines().filter(|line| line.starts_with("| ") && !line.contains("---")).count();
    assert_eq!(rows, 4 + 4 + 6 + 4 + 10, "a head and rows for each part:\n{table}");
    Ok(())
}

fn all(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn positive(value: &Value) -> bool {
    value.as_f64().is_some_and(|value| value > 0.0)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| Error::failed(format!("{}: {error}", path.display()), ""))
}
