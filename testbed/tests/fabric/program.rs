//! The lab program as its users run it.

use std::time::Duration;

use testbed::{Result, Spawn};

/// The longest that the demo may take, by its own word.
const DEMO: Duration = Duration::from_secs(60);

pub fn demo() -> Result<()> {
    let shown = testbed(&["demo"])?;
    assert_eq!(shown.lines().last(), Some("demo: ok"), "{shown}");
    assert!(!shown.contains("NOT SO"), "{shown}");
    Ok(())
}

pub fn up_and_down() -> Result<()> {
    // A lab that a person has up stays as it is.
    let dir = tempfile::tempdir().expect("a directory of our own");
    let run = |arguments: &[&str]| {
        let spawn = Spawn::new(env!("CARGO_BIN_EXE_testbed")).args(arguments).env("TMPDIR", dir.path());
        spawn.run(DEMO)
    };
    let up = run(&["up"])?.success("testbed up")?;
    assert!(up.contains("the lab is up"), "{up}");
    let again = run(&["up"])?;
    assert!(again.status == 1 && again.stdout.contains("up already"), "{again:?}");
    let command = up.lines().find_map(|line| line.split_once("look at it:")).expect("how to look at it").1;
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    let shown = Spawn::new(testbed::host::binary()?).args(words).run(DEMO)?.success("weft show")?;
    assert!(shown.contains("blue/web1") && shown.contains("every packet is accounted for"), "{shown}");
    let down = run(&["down"])?.success("testbed down")?;
    assert!(down.contains("the lab is down"), "{down}");
    assert!(run(&["down"])?.success("testbed down, again")?.contains("no lab is up"));
    Ok(())
}

fn testbed(arguments: &[&str]) -> Result<String> {
    Spawn::new(env!("CARGO_BIN_EXE_testbed")).args(arguments).run(DEMO)?.success(&arguments.join(" "))
}
