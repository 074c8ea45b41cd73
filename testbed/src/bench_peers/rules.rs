//! The rules of a policy, the same ones for every system.

use std::net::Ipv4Addr;

use super::scene::{CLIENT, Guest, NEIGHBOUR, SERVER, SERVICE, SERVICES};

/// A rule about who may open a connection to whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// From where, as a network.
    pub from: (Ipv4Addr, u8),
    /// To where.
    pub to: (Ipv4Addr, u8),
    /// Whether it is about TCP, and else about UDP.
    pub tcp: bool,
    /// The ports, from a first to a last one: a power of two of them, aligned to it.
    pub ports: (u16, u16),
    /// Whether it allows.
    pub allow: bool,
}

impl Rule {
    /// The mask of the ports.
    pub fn port_mask(&self) -> u16 {
        !(self.ports.1 - self.ports.0)
    }
}

/// So many rules, first match, the last of which let guests reach each other's services; the default denies.
///
/// The others are mixed: networks of five lengths on either side, TCP and UDP, single ports and ranges, two thirds allow.
/// Each guest's addresses are in some of their networks, so they are looked at, and decide nothing.
pub fn rules(count: u32) -> Vec<Rule> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: u32| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 33) % u64::from(below)) as u32
    };
    let mut rules: Vec<Rule> = (0..count.saturating_sub(2 * OPENERS.len() as u32))
        .map(|_| {
            let mut network = || {
                let length = [16, 20, 24, 28, 32][random(5) as usize];
                // 10.0.0.0 to 10.15.255.255, where the guests' own network is too.
                let address = 0x0a00_0000 | random(1 << 20);
                (Ipv4Addr::from(address & (u32::MAX << (32 - u32::from(length)))), length)
            };
            let (from, to) = (network(), network());
            let wide = random(4) == 0;
            // Never the guests' services.
            let first = 16_384 + (random(24_576) as u16 & if wide { !255 } else { !0 });
            let ports = (first, if wide { first + 255 } else { first });
            Rule { from, to, tcp: random(2) == 0, ports, allow: random(3) > 0 }
        })
        .collect();
    let everyone = (Ipv4Addr::new(10, 1, 0, 0), 16);
    let services = (SERVICE, SERVICE + SERVICES - 1);
    for guest in OPENERS {
        let from = (guest.first, 28);
        rules.extend([false, true].map(|tcp| Rule { from, to: everyone, tcp, ports: services, allow: true }));
    }
    rules
}

/// Who may open connections.
const OPENERS: [Guest; 3] = [CLIENT, SERVER, NEIGHBOUR];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_as_asked_and_they_fit_both_kinds_of_switch() {
        for count in [10, 1_000, 10_000] {
            let rules = rules(count);
            assert_eq!(rules.len(), count as usize);
            for rule in &rules {
                let ports = u32::from(rule.ports.1 - rule.ports.0) + 1;
                assert!(ports.is_power_of_two() && u32::from(rule.ports.0).is_multiple_of(ports), "{rule:?}");
                for (address, length) in [rule.from, rule.to] {
                    assert_eq!(u64::from(u32::from(address)) & ((1 << (32 - length)) - 1), 0, "{rule:?}");
                }
            }
            let mixed = &rules[..rules.len() - 2 * OPENERS.len()];
            assert!(mixed.iter().all(|rule| rule.ports.0 > SERVICE + SERVICES));
        }
    }
}
