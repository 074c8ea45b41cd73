use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use testbed::scope::is_root;
use testbed::{Process, Result, Spawn, wait_for};

pub fn panic_leaves_nothing() -> Result<()> {
    let (process, held) = hold(&["--panic"])?;
    process.wait(SOON)?;
    assert!(process.log().contains("panicked"), "{}", process.log());
    held.is_gone()
}

pub fn interrupt_leaves_nothing() -> Result<()> {
    for signal in [Signal::INT, Signal::TERM] {
        let (process, held) = hold(&[])?;
        assert_eq!(held.namespaces.len(), usize::from(is_root()));
        process.signal(signal);
        let exit = process.wait(SOON)?;
        assert_eq!(exit.code(), 128 + signal.as_raw(), "it ends as the signal would have ended it");
        held.is_gone()?;
    }
    Ok(())
}

pub fn sweep_removes_the_rest() -> Result<()> {
    let (process, held) = hold(&[])?;
    process.kill9()?;
    // Grandchildren, directories and namespaces outlive a lab that had no time to say farewell.
    wait_for(SOON, "the kernel to kill the children", || {
        Ok(held.children.iter().all(is_dead).then_some(()))
    })?;
    assert!(held.dirs.iter().chain(&held.namespaces).all(|path| path.exists()));
    Spawn::new(BINARY).arg("sweep").run(SOON)?.success("the sweep")?;
    held.is_gone()
}

/// What a child lab said it had made.
struct HeldThings {
    children: Vec<String>,
    grandchildren: Vec<String>,
    dirs: Vec<PathBuf>,
    namespaces: Vec<PathBuf>,
}

impl HeldThings {
    fn is_gone(&self) -> Result<()> {
        let processes = || self.children.iter().chain(&self.grandchildren);
        wait_for(SOON, "processes to be gone", || Ok(processes().all(is_dead).then_some(())))?;
        let paths: Vec<_> = self.dirs.iter().chain(&self.namespaces).filter(|path| path.exists()).collect();
        assert!(paths.is_empty(), "left behind: {paths:?}");
        Ok(())
    }
}

/// Starts a lab in a process of its own that makes one of each and then waits.
fn hold(arguments: &[&str]) -> Result<(Process, HeldThings)> {
    let process = Spawn::new(BINARY).arg("hold").args(arguments.iter().copied()).start()?;
    process.wait_until(SOON, "it holds", || process.log().lines().any(|line| line == "held"))?;
    let log = process.log();
    let all = |key: &str| {
        log.lines().filter_map(|line| Some(line.strip_prefix(key)?.trim().to_owned())).collect::<Vec<_>>()
    };
    let held = HeldThings {
        children: all("pid "),
        grandchildren: all("grandchild "),
        dirs: all("dir ").iter().map(PathBuf::from).collect(),
        namespaces: all("netns ").iter().map(|name| Path::new("/run/netns").join(name)).collect(),
    };
    assert!(!held.children.is_empty() && !held.grandchildren.is_empty() && !held.dirs.is_empty());
    Ok((process, held))
}

/// A zombie whose parent, itself an orphan, is slow to reap it counts as dead.
fn is_dead(pid: &String) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

const BINARY: &str = env!("CARGO_BIN_EXE_testbed");
const SOON: Duration = Duration::from_secs(20);
