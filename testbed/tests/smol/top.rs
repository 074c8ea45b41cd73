//! `weft top` in a real terminal: a tmux of the test's own, whose socket goes with its folder.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use testbed::host::binary;
use testbed::{Error, Result, Spawn, wait_for};

use crate::fabric::{Fabric, Place, SOON, v4};

/// What the terminal says when the command has ended: its status, and whether lines are edited again.
const AFTER: &str = "; echo status $?; stty -a | grep -o ' icanon'; exec sleep 60";

pub fn in_a_terminal() -> Result<()> {
    let fabric = Fabric::up(&[Place("blue/a", 0, 11), Place("blue/b", 0, 12)])?;
    let socket = fabric.hosts[0].socket("");
    let runtime = socket.parent().expect("the folder of the hosts").display();
    let weft = binary()?;
    let top = format!("{} top --interval 0.2 --runtime-dir {runtime}", weft.display());

    let screen = Tmux::start(&format!("{top}{AFTER}"))?;
    screen.wait("tenants", |text| text.contains("weft hv-a") && text.contains("PORTS RX-BIT/Sv"))?;
    screen.keys(&["2"])?;
    wait_for(SOON, "the traffic to be seen", || {
        let _ = fabric.guests.ping("blue/a", v4(12), 20, SOON)?;
        let text = screen.text()?;
        let row = text.lines().find(|line| line.starts_with("blue/a"));
        Ok(row.is_some_and(|row| row.split_whitespace().nth(1).is_some_and(|rate| rate != "0")).then_some(()))
    })?;
    screen.keys(&["Tab"])?;
    screen.wait("flows by name", |text| text.contains("PROTO") && text.contains("icmp"))?;
    screen.keys(&["c"])?;
    screen.wait("flows by address", |text| text.contains("10.1.0.11"))?;
    screen.keys(&["/", "n", "o", "n", "e", "Enter"])?;
    screen.wait("no flows of this text", |text| text.contains("no row has this text"))?;
    screen.keys(&["7"])?;
    screen
        .wait("services", |text| text.contains("CONN/S") && text.contains("no connection has been seen"))?;
    screen.keys(&["8"])?;
    screen.wait("DNS", |text| text.contains("QUERY/S") && text.contains("no DNS query has been seen"))?;
    screen.keys(&["5"])?;
    screen.wait("workers", |text| text.contains("CYCLES/PKT"))?;
    screen.keys(&["F1"])?;
    screen.wait("the keys", |text| text.contains("q, F10, Ctrl-C"))?;
    screen.keys(&["Escape"])?;
    for (width, height) in [(10, 3), (250, 60), (80, 24)] {
        screen.tmux(&["resize-window", "-x", &width.to_string(), "-y", &height.to_string()])?;
        let expected = if width == 10 { "WORKER" } else { "CYCLES/PKT" };
        screen.wait("the size that it has now", |text| {
            text.contains(expected) && text.lines().all(|line| line.chars().count() <= width)
        })?;
    }
    screen.keys(&["q"])?;
    screen.wait("the end", |text| text.contains("status 0") && text.contains("icanon"))?;
    assert_eq!(screen.tmux(&["display-message", "-p", "#{alternate_on}"])?.trim(), "0");
    drop(screen);

    // A terminal is given back by one that is told to end, too.
    let screen = Tmux::start(&format!("{top} --view drops{AFTER}"))?;
    screen.wait("drops", |text| text.contains("4 Drops"))?;
    kill_process(screen.child()?, Signal::TERM).expect("it runs");
    screen.wait("the end", |text| text.contains("status 143") && text.contains("icanon"))?;
    drop(screen);

    // It ends with its terminal.
    let screen = Tmux::start(&format!("{top}; exit"))?;
    screen.wait("tenants", |text| text.contains("1 Tenants"))?;
    let process = screen.child()?;
    drop(screen);
    wait_for(SOON, "the end of it", || Ok(test_kill_process(process).is_err().then_some(())))?;

    let screen = Tmux::start(&format!("TERM=dumb {top}{AFTER}"))?;
    screen.wait("that it can't be", |text| text.contains("TERM is `dumb`") && text.contains("status 1"))?;
    drop(screen);
    let once =
        fabric.hosts[0].command(&["top", "--once", "--interval", "0.1"])?.success("weft top --once")?;
    assert!(
        once.contains("Tenants\nTENANT") && once.contains("blue/b") && once.contains("CYCLES/PKT"),
        "{once}"
    );
    let piped = fabric.hosts[0].command(&["top"])?;
    assert!(piped.status == 1 && piped.stdout.contains("is not a terminal"), "{piped:?}");
    fabric.settle().map(drop)
}

/// A terminal; it ends with what runs in it when it is dropped.
struct Tmux {
    dir: tempfile::TempDir,
}

impl Tmux {
    fn start(command: &str) -> Result<Self> {
        let this = Self { dir: tempfile::tempdir().expect("a folder of our own") };
        this.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "24", command])?;
        Ok(this)
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("tmux")
    }

    fn tmux(&self, arguments: &[&str]) -> Result<String> {
        let socket = self.socket().display().to_string();
        // Boxes and bars are UTF-8, whatever the locale.
        let spawn = Spawn::new("tmux").args(["-u", "-S", &socket]).args(arguments);
        spawn.run(SOON)?.success(&format!("tmux {}", arguments.join(" ")))
    }

    fn keys(&self, keys: &[&str]) -> Result<()> {
        keys.iter().try_for_each(|key| self.tmux(&["send-keys", key]).map(drop))
    }

    fn text(&self) -> Result<String> {
        self.tmux(&["capture-pane", "-p"])
    }

    /// Waits until there is on it what is wanted.
    fn wait(&self, what: &str, is_there: impl Fn(&str) -> bool) -> Result<()> {
        let mut last = String::new();
        let waited = wait_for(Duration::from_secs(10), what, || {
            last = self.text()?;
            Ok(is_there(&last).then_some(()))
        });
        waited.map_err(|error| Error::failed(error.to_string(), last))
    }

    /// The command that the terminal's shell runs.
    fn child(&self) -> Result<Pid> {
        let shell = self.tmux(&["display-message", "-p", "#{pane_pid}"])?;
        let shell = shell.trim();
        let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children"));
        let child = children.ok().and_then(|pids| pids.split_whitespace().next()?.parse().ok());
        Ok(child.and_then(Pid::from_raw).expect("the shell runs a command"))
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // One that has ended by itself has no server.
        let _ = self.tmux(&["kill-server"]);
    }
}
