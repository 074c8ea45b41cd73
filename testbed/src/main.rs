//! The lab program: the demo, labs to play with, ends of TCP transfers for use in namespaces, and the broom.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use testbed::{
    Faults, Namespace, Result, Spawn, WorkDir, bench_peers, bench_scale, demo, scope, tcp, up, wire,
};

#[derive(Debug, Parser)]
#[command(name = "testbed", about = "Labs for Weft", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the main job: two hosts, two tenants with the same addresses, guests on both hosts
    Demo {
        /// What plays the guests
        #[arg(long, value_enum, default_value_t = Guests::Smol)]
        guests: Guests,
    },
    /// Bring the demo's lab up and leave it up, to look at it and play with it
    Up {
        /// What plays the guests
        #[arg(long, value_enum, default_value_t = Guests::Smol)]
        guests: Guests,
    },
    /// Take down what `up` brought up, and sweep
    Down,
    /// Keep a lab up: what `up` starts
    #[command(hide = true)]
    KeepLab {
        /// What plays the guests
        #[arg(long, value_enum)]
        guests: Guests,
    },
    /// Send pseudo-random bytes over TCP; print how many and their SHA-256
    TcpSend {
        /// Where to
        to: SocketAddr,
        /// How many bytes
        #[arg(long, default_value_t = 1 << 20)]
        bytes: u64,
        /// What the bytes follow from
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// The longest to wait, in seconds, for a connection and then for each step of progress
        #[arg(long, default_value_t = 30)]
        deadline: u64,
    },
    /// Accept one TCP connection, take all that comes; print how many bytes and their SHA-256
    TcpRecv {
        /// Where to listen
        at: SocketAddr,
        /// The longest to wait, in seconds, for a connection and then for each step of progress
        #[arg(long, default_value_t = 30)]
        deadline: u64,
    },
    /// Carry frames between two devices, not all and not in order, until SIGTERM; print what was done to them
    BadWire {
        /// The one device
        one: String,
        /// The other
        other: String,
        /// How long a frame takes, in microseconds
        #[arg(long, default_value_t = 0)]
        delay_us: u64,
        /// How much sooner or later a frame may come, in microseconds
        #[arg(long, default_value_t = 0)]
        jitter_us: u64,
        /// Of 100 frames, how many take no time at all
        #[arg(long, default_value_t = 0.0)]
        hurried: f64,
        /// Of 100 frames, how many are lost
        #[arg(long, default_value_t = 0.0)]
        lost: f64,
        /// Of 100 frames, how many come twice
        #[arg(long, default_value_t = 0.0)]
        repeated: f64,
        /// What DSCP and ECN of all IP packets become
        #[arg(long)]
        marked: Option<u8>,
        /// What all chances follow from
        #[arg(long, default_value_t = 1)]
        seed: u64,
    },
    /// Measure Weft beside its peers: one table, in one run of some twenty minutes on a machine that does nothing else
    BenchPeers {
        /// A short look at each kind of row, once: to see that all works, not for figures
        #[arg(long)]
        quick: bool,
        /// How often each cell of the table is measured: 5 times, and once with --quick, unless given
        #[arg(long)]
        rounds: Option<u32>,
        /// Where the table, the raw figures and the plots go
        #[arg(long, default_value = "benches/results")]
        out: PathBuf,
        /// Ordinary pages, for all systems alike, where hugepages could be had
        #[arg(long)]
        no_hugepages: bool,
        /// Only systems whose names contain this; may be given several times
        #[arg(long = "system", value_name = "NAME")]
        systems: Vec<String>,
        /// Only work whose name contains this; may be given several times
        #[arg(long, value_name = "NAME")]
        work: Vec<String>,
    },
    /// Measure how Weft scales with workers, ports, sessions, rules and endpoints, in a few minutes on a machine that does
    /// nothing else
    BenchScale {
        /// Small numbers, once: to see that all works, not for figures
        #[arg(long)]
        quick: bool,
        /// How often what varies is measured: 3 times, and once with --quick, unless given
        #[arg(long)]
        rounds: Option<u32>,
        /// Where the table and the raw figures go
        #[arg(long, default_value = "benches/results")]
        out: PathBuf,
        /// Ordinary pages where hugepages could be had
        #[arg(long)]
        no_hugepages: bool,
        /// Only parts whose names contain this: workers, ports, memory, start; may be given several times
        #[arg(long = "part", value_name = "NAME")]
        parts: Vec<String>,
    },
    /// Remove what labs that were killed left behind
    Sweep,
    /// Make one of each resource, say so, and wait to be interrupted: how the lab tests its own cleanup
    #[command(hide = true)]
    Hold {
        /// Panic in place of waiting
        #[arg(long)]
        panic: bool,
    },
}

/// What plays the guests.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Guests {
    /// IP stacks (smoltcp) in one process
    Smol,
    /// Linux machines under QEMU
    Vm,
}

impl From<Guests> for demo::Guests {
    fn from(guests: Guests) -> Self {
        match guests {
            Guests::Smol => Self::Smol,
            Guests::Vm => Self::Vm,
        }
    }
}

fn main() -> ExitCode {
    match act(Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("testbed: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether what was to be shown held; all but the demo and the benches show nothing.
fn act(command: Command) -> Result<bool> {
    match command {
        Command::Demo { guests } => return demo::run(guests.into()),
        Command::Up { guests } => up::up(guests.into())?,
        Command::Down => up::down()?,
        Command::KeepLab { guests } => up::keep(guests.into())?,
        Command::TcpSend { to, bytes, seed, deadline } => {
            print_json(&tcp::send(to, bytes, seed, Duration::from_secs(deadline))?);
        }
        Command::TcpRecv { at, deadline } => {
            let listening = |address| eprintln!("listening at {address}");
            print_json(&tcp::receive(at, Duration::from_secs(deadline), listening)?);
        }
        Command::BadWire { one, other, delay_us, jitter_us, hurried, lost, repeated, marked, seed } => {
            let (delay, jitter) = (Duration::from_micros(delay_us), Duration::from_micros(jitter_us));
            print_json(&wire::carry(
                [&one, &other],
                &Faults { delay, jitter, hurried, lost, repeated, marked, seed },
            )?);
        }
        Command::BenchPeers { quick, rounds, out, no_hugepages, systems, work } => {
            return bench_peers::run(&bench_peers::Options {
                quick,
                rounds,
                out,
                hugepages: !no_hugepages,
                systems,
                work,
            });
        }
        Command::BenchScale { quick, rounds, out, no_hugepages, parts } => {
            let hugepages = !no_hugepages;
            return bench_scale::run(&bench_scale::Options { quick, rounds, out, hugepages, parts });
        }
        Command::Sweep => scope::sweep(),
        Command::Hold { panic } => hold(panic)?,
    }
    Ok(true)
}

fn print_json(report: &impl serde::Serialize) {
    println!("{}", serde_json::json!(report));
}

/// Prints what it holds, a line each: `dir PATH`, `pid NUMBER`, `grandchild NUMBER`, `netns NAME`, and `held`.
fn hold(panic: bool) -> Result<()> {
    let dir = WorkDir::new()?;
    // Its file stays when the listener goes.
    drop(std::os::unix::net::UnixListener::bind(dir.join("a.sock")));
    println!("dir {}", dir.path().display());
    let child = Spawn::new("sleep").arg("600").start_in(&dir)?;
    println!("pid {}", child.pid());
    let parent = Spawn::shell("sleep 601 & echo grandchild $!; wait").start()?;
    scope::wait_for(Duration::from_secs(10), "a grandchild", || {
        Ok(parent.log().contains('\n').then_some(()))
    })?;
    print!("{}", parent.log());
    let space = scope::is_root().then(|| Namespace::new("held")).transpose()?;
    let inside = space.as_ref().map(|space| space.spawn(Spawn::new("sleep").arg("602"))).transpose()?;
    if let (Some(space), Some(inside)) = (&space, &inside) {
        println!("netns {}\npid {}", space.name(), inside.pid());
    }
    println!("held");
    assert!(!panic, "as asked");
    loop {
        std::thread::park();
    }
}
