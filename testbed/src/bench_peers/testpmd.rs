//! DPDK's `dpdk-testpmd` in io mode: what comes in at one port goes out at the other, and nobody looks at it. It is
//! what ports cost that are DPDK's, and so the most that a switch on them can do.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::time::Duration;

use rustix::fs::{Mode, mkfifoat};

use super::systems::Cycles;
use crate::bench::ground::{Ground, LOAD_CORE, MEMORY_MIB, SWITCH_CORE};
use crate::error::Doing;
use crate::load::Pages;
use crate::{Error, Namespace, Process, Result, Spawn};

/// A running testpmd.
#[derive(Debug)]
pub struct Testpmd {
    process: Process,
    /// Its standard input, a named pipe.
    commands: File,
    /// The ports whose packets count: all, or those of guests.
    counted: Option<Vec<usize>>,
}

impl Testpmd {
    /// Starts it, with a vhost-user socket for each port: `0.sock` and `1.sock`.
    pub fn start(ground: &Ground) -> Result<Self> {
        Self::between(ground, &[guest(ground, 0), guest(ground, 1)], None, None)
    }

    /// Starts it between devices, the first and second of them joined, then the next two; inside a namespace, maybe.
    /// `counted` are the ports whose packets it is asked about: all of them if not said.
    pub fn between(
        ground: &Ground,
        devices: &[String],
        namespace: Option<&Namespace>,
        counted: Option<Vec<usize>>,
    ) -> Result<Self> {
        let pipe = ground.dir.join("testpmd.in");
        drop(std::fs::remove_file(&pipe));
        mkfifoat(rustix::fs::CWD, &pipe, Mode::RUSR | Mode::WUSR)
            .doing(|| format!("making {}", pipe.display()))?;
        // Opened for both, so that neither side waits for the other and the pipe has no end.
        let open = OpenOptions::new().read(true).write(true).open(&pipe);
        let commands = open.doing(|| format!("opening {}", pipe.display()))?;
        let mut words = vec![
            // Unbuffered: its answers are read as they come.
            "stdbuf -o0 dpdk-testpmd".to_owned(),
            format!("-l {LOAD_CORE},{SWITCH_CORE} --main-lcore {LOAD_CORE}"),
            format!("-m {MEMORY_MIB} --no-pci --iova-mode=va --no-telemetry"),
            match ground.pages {
                Pages::Huge => "--in-memory".into(),
                Pages::Small => "--no-huge --no-shconf".into(),
            },
        ];
        words.extend(devices.iter().map(|device| format!("--vdev {device}")));
        words.push("-- -i --forward-mode=io --nb-cores=1 --record-core-cycles --no-mlockall".into());
        words.push("--total-num-mbufs=65536".into());
        let line = format!("exec {} < {}", words.join(" "), pipe.display());
        // What DPDK would leave in /var/run when it is killed goes with the lab.
        let spawn = Spawn::shell(&line).named("testpmd").env("RUNTIME_DIRECTORY", ground.dir.path());
        let spawn = match namespace {
            Some(namespace) => spawn.namespace(namespace.name()),
            None => spawn,
        };
        let process = spawn.start_in(&ground.dir)?;
        process.wait_for_log("testpmd>", STARTING)?;
        let mut testpmd = Self { process, commands, counted };
        testpmd.say("start")?;
        Ok(testpmd)
    }

    /// Forgets what it has counted.
    pub fn clear(&mut self) -> Result<()> {
        self.say("clear fwd stats all").map(drop)
    }

    /// What its core has spent on packets since.
    pub fn cycles(&mut self) -> Result<Cycles> {
        let text = self.say("show fwd stats all")?;
        let answer = Answer(&text);
        let packets = match &self.counted {
            Some(ports) => ports.iter().map(|port| answer.received(*port)).sum(),
            None => answer.figure(" packets="),
        };
        match (answer.figure("total cycles="), packets) {
            (Some(cycles), Some(packets)) => Ok(Cycles { cycles, packets }),
            _ => Err(Error::failed("testpmd told no cycles", text)),
        }
    }

    /// Gives it a line, and what it says until it asks for the next.
    fn say(&mut self, line: &str) -> Result<String> {
        let before = self.process.log().len();
        self.commands
            .write_all(format!("{line}\n").as_bytes())
            .doing(|| format!("telling testpmd: {line}"))?;
        let answer = || self.process.log().get(before..).unwrap_or_default().to_owned();
        self.process
            .wait_until(ANSWERING, &format!("an answer to `{line}`"), || answer().ends_with("testpmd> "))?;
        Ok(answer())
    }
}

/// What it says to `show fwd stats all`.
struct Answer<'a>(&'a str);

impl Answer<'_> {
    /// The number after these words.
    fn figure(&self, words: &str) -> Option<u64> {
        let (_, rest) = self.0.split_once(words)?;
        rest.trim_start().split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    }

    /// How many packets a port received.
    fn received(&self, port: usize) -> Option<u64> {
        let (_, rest) = self.0.split_once(&format!("Forward statistics for port {port}"))?;
        Answer(rest).figure("RX-packets:")
    }
}

/// A guest's device, whose socket it makes.
pub fn guest(ground: &Ground, port: usize) -> String {
    format!("net_vhost{port},iface={}", ground.dir.join(format!("{port}.sock")).display())
}

/// Its version, if it is there.
pub fn version() -> Option<String> {
    let output =
        std::process::Command::new("dpkg-query").args(["-W", "-f=${Version}", "dpdk-dev"]).output().ok()?;
    std::process::Command::new("dpdk-testpmd").arg("--version").output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

const STARTING: Duration = Duration::from_secs(20);
const ANSWERING: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::Answer;

    #[test]
    fn its_figures_are_read() {
        let answer = Answer(
            "  ---------------------- Forward statistics for port 0  ----------------------\n  RX-packets: 70             \
             RX-dropped: 0             RX-total: 70\n  TX-packets: 0\n  ---- Forward statistics for port 1  ----\n  \
             RX-packets: 30 \n\n  CPU cycles/packet=267.73 (total cycles=26773 / total io packets=100) at 2600 MHz \
             Clock\ntestpmd> ",
        );
        assert_eq!((answer.figure("total cycles="), answer.figure(" packets=")), (Some(26_773), Some(100)));
        assert_eq!([0, 1, 2].map(|port| answer.received(port)), [Some(70), Some(30), None]);
    }
}
