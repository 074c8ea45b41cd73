//! What is measured: a fixed grid, each row of which answers a question.

use std::time::Duration;

use crate::load::Size;

/// What a switch is configured for, and how it is loaded then.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What it does with packets.
    pub work: Work,
    /// What the packets are of.
    pub protocol: Protocol,
    /// How many rules decide a connection; none without policy.
    pub rules: u32,
    /// Whether what a guest sends is metered.
    pub meters: bool,
    /// The loads, one after the other on the same running switch.
    pub loads: Vec<Load>,
}

impl Setup {
    /// Whether its packets are TCP's.
    pub fn is_tcp(&self) -> bool {
        self.protocol == Protocol::Tcp
    }
}

/// What flows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// UDP, answered once.
    Udp,
    /// TCP, opened by three packets, then bytes in one direction.
    Tcp,
}

/// What a switch does with packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// From guest to guest by MAC; nothing is asked of connections.
    L2,
    /// From guest to guest, with stateful policy.
    Stateful,
    /// From a guest through stateful policy into VXLAN.
    Encap,
    /// From VXLAN through stateful policy to a guest.
    Decap,
    /// As [`Work::Stateful`], with a third guest on the same core.
    Neighbours,
}

impl Work {
    /// As in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::L2 => "L2",
            Self::Stateful => "stateful",
            Self::Encap => "stateful + VXLAN encap",
            Self::Decap => "VXLAN decap + stateful",
            Self::Neighbours => "stateful, noisy neighbour",
        }
    }

    /// Whether it has an uplink in place of a second guest.
    pub fn has_uplink(self) -> bool {
        matches!(self, Self::Encap | Self::Decap)
    }

    /// Whether policy is asked about connections.
    pub fn is_stateful(self) -> bool {
        self != Self::L2
    }
}

/// How a switch is loaded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// Packets of open flows, as many as the switch takes.
    Flood {
        /// How many flows, chosen at random for each packet.
        flows: u32,
        /// How long they are.
        size: Size,
    },
    /// Packets of 64 bytes at a rate below what any of the switches does: how long they take.
    Paced {
        /// How many flows.
        flows: u32,
        /// Packets a second.
        rate: f64,
    },
    /// Each packet, of 64 bytes, is the first of its flow.
    New,
    /// One guest sends steadily; its neighbour sends nothing, or first packets of flows as fast as it can.
    Neighbour {
        /// Packets a second of the steady guest.
        rate: f64,
        /// Whether the neighbour sends.
        noisy: bool,
    },
}

impl Load {
    /// How many flows it is of, where that is fixed.
    pub fn flows(self) -> Option<u32> {
        match self {
            Self::Flood { flows, .. } | Self::Paced { flows, .. } => Some(flows),
            Self::Neighbour { .. } => Some(1_000),
            Self::New => None,
        }
    }

    /// How long its frames are.
    pub fn size(self) -> Size {
        match self {
            Self::Flood { size, .. } => size,
            Self::Paced { .. } | Self::New | Self::Neighbour { .. } => SMALL,
        }
    }

    /// As in tables.
    pub fn name(self) -> String {
        match self {
            Self::Flood { .. } => "flood".into(),
            Self::Paced { rate, .. } => format!("{} Mpps", rate / 1e6),
            Self::New => "new flows".into(),
            Self::Neighbour { rate, noisy: false } => format!("{} Mpps, alone", rate / 1e6),
            Self::Neighbour { rate, noisy: true } => format!("{} Mpps, beside a flood", rate / 1e6),
        }
    }

    /// Whether the figure is how much the switch bears, and not how it bears a given rate.
    pub fn is_flood(self) -> bool {
        matches!(self, Self::Flood { .. } | Self::New)
    }
}

const SMALL: Size = Size::Fixed(64);

/// How often and for how long is measured.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How often each cell of the table is measured.
    pub rounds: u32,
    /// For how long each time.
    pub measure: Duration,
}

impl Effort {
    /// For figures.
    pub const FULL: Self = Self { rounds: 5, measure: Duration::from_millis(1_000) };
    /// For a try.
    pub const QUICK: Self = Self { rounds: 1, measure: Duration::from_millis(200) };
}

/// All that is measured.
pub fn full() -> Vec<Setup> {
    let flood = |flows, size| Load::Flood { flows, size };
    let paced = Load::Paced { flows: 1_000, rate: 500_000.0 };
    let many = [1_000, 100_000, 1_000_000].map(|flows| flood(flows, SMALL));
    let sizes = [Size::Fixed(512), Size::Fixed(1500), Size::Imix].map(|size| flood(1_000, size));
    let setup = |work, rules, meters, loads: &[&[Load]]| Setup {
        work,
        protocol: Protocol::Udp,
        rules,
        meters,
        loads: loads.concat(),
    };
    let neighbour = [false, true].map(|noisy| Load::Neighbour { rate: 250_000.0, noisy });
    vec![
        // What do the ports cost, by size; what does switching add; what a million conversations?
        setup(Work::L2, 0, false, &[&many[..1], &sizes, &many[2..], &[paced]]),
        // What does state add, by flows and by size?
        setup(Work::Stateful, 10, false, &[&many, &sizes, &[paced]]),
        // And where it is TCP's?
        Setup { protocol: Protocol::Tcp, ..setup(Work::Stateful, 10, false, &[&many[1..2]]) },
        // What do rules add to established traffic?
        setup(Work::Stateful, 1_000, false, &[&many[..1]]),
        setup(Work::Stateful, 10_000, false, &[&many[..1]]),
        // What does opening a connection cost, among few rules and many?
        setup(Work::Stateful, 10, false, &[&[Load::New]]),
        setup(Work::Stateful, 10_000, false, &[&[Load::New]]),
        // What does the fabric add, out and in?
        setup(Work::Encap, 10, false, &[&many, &sizes[2..]]),
        setup(Work::Decap, 10, false, &[&many[..2]]),
        // What does all of it cost at once?
        setup(Work::Encap, 1_000, true, &[&many]),
        // Does a guest feel its neighbour?
        setup(Work::Neighbours, 10, false, &[&neighbour]),
    ]
}

/// A look at each kind of row.
pub fn quick() -> Vec<Setup> {
    let mut setups = full();
    setups.retain(|setup| setup.rules != 1_000 || setup.meters);
    for setup in &mut setups {
        let mut seen = Vec::new();
        setup.loads.retain(|load| {
            let kind = (std::mem::discriminant(load), matches!(load, Load::Neighbour { noisy: true, .. }));
            let new = !seen.contains(&kind);
            seen.push(kind);
            new
        });
    }
    setups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quick_grid_has_every_work_and_kind_of_load() {
        let kinds = |setups: &[Setup]| {
            let kind = |setup: &Setup, load: &Load| format!("{:?} {}", setup.work, load.name());
            let mut kinds: Vec<_> = setups
                .iter()
                .flat_map(|setup| setup.loads.iter().map(move |load| kind(setup, load)))
                .collect();
            kinds.sort();
            kinds.dedup();
            kinds
        };
        assert_eq!(kinds(&full()), kinds(&quick()));
        assert!(full().iter().all(|setup| setup.work.is_stateful() == (setup.rules > 0)));
    }
}
