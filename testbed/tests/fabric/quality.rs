//! How well TCP does between Linux guests, by a grid of bad wires: what the switch tells is held against what the guests'
//! own kernels measured at the same time.
//!
//! Each server has a wire of its own between itself and the switch, and the client sends. So the switch sees each segment of it
//! before it can be lost, and each that is sent again is one that has passed before: as many as the kernel counts.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use testbed::{Faults, GuestKind, GuestSpec, HostSpec, Lab, LabSpec, Result, Underlay};
use weft::report::FlowReport;

use crate::flows::{SLACK, Watched, least_round_trip, sent_again};
use crate::policy::traffic::{accept, at, connection, listener, read, write};
use crate::{root, run, settle};

pub fn trials() -> Vec<Trial> {
    vec![root("flows: delay, loss and reordering are what the guests' kernels measure", grid)]
}

const CLIENT: &str = "blue/client";
const PORT: u16 = 5000;
const BYTES: u64 = 200_000;
/// Questions and answers before that, so that there is some quick one among them on a busy machine too.
const ROUNDS: u64 = 20;

/// A wire, and the server behind it.
struct Cell {
    faults: Faults,
    guest: String,
    address: String,
}

/// What a guest measured.
struct Measured {
    /// How long it took to connect.
    connect: Duration,
    /// The kernel's shortest round trip.
    least: Duration,
    /// Segments that it sent again.
    again: u64,
    /// Open until the switch has told of it.
    _streams: [TcpStream; 2],
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    for delay in [5, 20] {
        for lost in [0.0, 1.0] {
            for hurried in [0.0, 2.0] {
                let number = cells.len() as u64;
                let delay = Duration::from_millis(delay);
                let faults = Faults { delay, lost, hurried, seed: 1 + number, ..Faults::default() };
                let (guest, address) = (format!("blue/s{number}"), format!("10.1.0.{}", 21 + number));
                cells.push(Cell { faults, guest, address });
            }
        }
    }
    cells
}

fn grid() -> Result<()> {
    let cells = cells();
    let lab = Lab::up(spec(&cells))?;
    let watched = Watched::start(&lab, "hv-a")?;
    let measured: Vec<Measured> = cells.iter().map(|cell| measure(&lab, cell)).collect::<Result<_>>()?;
    settle(&lab)?;
    let flows: Vec<FlowReport> = watched.finish()?.flows.into_values().collect();
    for (cell, measured) in cells.iter().zip(&measured) {
        let mut of = flows.iter().filter(|flow| flow.to.port == PORT && flow.to.address == cell.address);
        let (Some(flow), None) = (of.next(), of.next()) else { panic!("one flow to {}", cell.guest) };
        hold(cell, measured, flow);
    }
    Ok(())
}

/// A connection to the server of `cell`, and bulk through it.
fn measure(lab: &Lab, cell: &Cell) -> Result<Measured> {
    let to = at(&cell.address, PORT);
    let listener = listener(lab, &cell.guest, to)?;
    // Who has which MAC is known by then.
    run(lab.guest(CLIENT), &format!("busybox ping -c 3 -W 1 {} || true", cell.address))?;
    let before = sent_again(lab, CLIENT)?;
    let start = Instant::now();
    let client = connection(lab, CLIENT, to)?;
    let connect = start.elapsed();
    let server = accept(&listener)?;
    for round in 0..ROUNDS {
        for (from, to) in [(&client, &server), (&server, &client)] {
            write(from, 100, round)?;
            read(to, 100, round)?;
        }
    }
    thread::scope(|scope| {
        let sender = scope.spawn(|| write(&client, BYTES, 3));
        read(&server, BYTES, 3)?;
        sender.join().expect("no panic")
    })?;
    // When the answer is there, so is the acknowledgement of all that was sent.
    write(&server, 1, 4)?;
    read(&client, 1, 4)?;
    let again = sent_again(lab, CLIENT)? - before;
    let least = least_round_trip(lab, CLIENT, &format!("dst {to}"))?;
    Ok(Measured { connect, least, again, _streams: [client, server] })
}

/// What the switch told of a connection is what the guest measured.
fn hold(cell: &Cell, measured: &Measured, flow: &FlowReport) {
    let Faults { delay, lost, hurried, .. } = cell.faults;
    let nanos = |of: Option<u64>| Duration::from_nanos(of.unwrap_or_default());
    let connect = nanos(flow.from.connect_ns) + nanos(flow.to.connect_ns);
    // From the switch to the server, and from there to the client: together what the client's kernel measures.
    let (least, rest) = (nanos(flow.to.rtt_least_ns), nanos(flow.from.rtt_least_ns));
    let again = flow.from.retransmitted;
    let what = format!(
        "{delay:?} each way, {lost} % lost, {hurried} % overtake: connected in {connect:?} (the guest: {:?}), round trip \
         {least:?} and {rest:?} (the kernel: {:?}), {again} sent again (the kernel: {})",
        measured.connect, measured.least, measured.again
    );
    println!("{what}");
    assert_eq!(flow.connect, "accepted", "{what}");
    // What the switch sees lies within what the guest waits for, but for the last acknowledgement's way to it.
    assert!(connect <= measured.connect.mul_f64(1.05) + SLACK, "{what}");
    if hurried == 0.0 {
        let floor = 2 * delay;
        assert!(connect >= floor && least >= floor, "nothing is faster than the wire: {what}");
        // Both take the least of many; the kernel's has the way to the switch in it, and takes more of them.
        let most = measured.least.mul_f64(1.05) + SLACK;
        assert!(least <= most, "{what}");
    }
    // What overtakes is as fast as it likes; but the answer to the SYN is one of what is timed, unless that was sent twice.
    let answered = nanos(flow.to.connect_ns);
    assert!(!least.is_zero() && (least <= answered || lost > 0.0), "{what}");
    assert_eq!(again, measured.again, "{what}");
}

fn spec(cells: &[Cell]) -> LabSpec {
    let guest = |name: &str, address: &str| GuestSpec::new(name, "front", "hv-a", address, GuestKind::Netns);
    let mut spec = LabSpec::new(Underlay::None)
        .host(HostSpec::new("hv-a", "198.51.100.1"))
        .segment("blue", "front", 1001, "10.1.0.0/24")
        .with(guest(CLIENT, "10.1.0.11"));
    for cell in cells {
        spec = spec.with(guest(&cell.guest, &cell.address).faults(cell.faults));
    }
    spec
}
